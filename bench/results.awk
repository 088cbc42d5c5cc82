# results.awk: what table.awk and plot.awk share: reading a line of JSON as the programs print it, and samples
# by key.

function field(name,    at, rest) {
	at = index($0, "\"" name "\":")
	if (at == 0)
		return ""
	rest = substr($0, at + length(name) + 3)
	if (substr(rest, 1, 1) == "\"") {
		rest = substr(rest, 2)
		return substr(rest, 1, index(rest, "\"") - 1)
	}
	match(rest, /^[-+0-9.a-z]*/)
	return substr(rest, 1, RLENGTH)
}

function add(key, value) {
	samples[key, ++count[key]] = value + 0
}

function sort_samples(key,    i, k, value) {
	for (i = 2; i <= count[key]; i++) {
		value = samples[key, i]
		for (k = i - 1; k > 0 && samples[key, k] > value; k--)
			samples[key, k + 1] = samples[key, k]
		samples[key, k + 1] = value
	}
}

function median(key,    n) {
	n = count[key]
	if (n == 0)
		return ""
	sort_samples(key)
	return n % 2 ? samples[key, (n + 1) / 2] : (samples[key, n / 2] + samples[key, n / 2 + 1]) / 2
}

