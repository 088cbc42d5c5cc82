# targets.awk: what was asked, what is, and whether that is enough; for table.awk.

function target(text, value, wanted, at_least) {
	if (value == "" || value == "-")
		return
	value += 0
	printf "| %s | %s %s | %s | %s |\n", text, at_least ? "at least" : "at most", wanted, digits(value),
		(at_least ? value >= wanted : value <= wanted) ? "yes" : "**no**"
}

function targets_at_each(section, text, mine, other, wanted,    c, key) {
	for (c = 1; c <= column_count[section]; c++) {
		key = SUBSEP columns[section, c]
		target(text ", " columns[section, c] (columns[section, c] == 1 ? " producer" : " producers"),
		       ratio(section SUBSEP mine key, section SUBSEP other key), wanted, 1)
	}
}

function figure(section, row) {
	return median(section SUBSEP row)
}

function over(a, b) {
	return a == "" || b == "" || b == 0 ? "" : a / b
}

# By bytes, items of mixed lengths against those of one length.
function target_of_lengths(other, c,    p) {
	p = SUBSEP columns["variable", c]
	target("16-512 bytes / " other ", by bytes, producers: " columns["variable", c],
		ratio("variable" SUBSEP "databuffer, 16-512 bytes" p,
			"variable" SUBSEP "databuffer, " other p), 0.75, 1)
}

function print_targets(    p, c, i, row) {
	heading("Targets", "What was asked for before it was built, from the medians above.")
	print "| | asked | measured | met |\n|---|---|--:|---|"
	targets_at_each("insert", "insert / moodycamel", "databuffer", "moodycamel", 1.5)
	targets_at_each("insert", "insert / private buffer", "databuffer", "private_buffer", 0.9)
	targets_at_each("insert", "insert / private buffer by a handle", \
		"databuffer", "private_buffer:handle", 0.9)
	# "Does not fall": within what two runs differ by.
	for (c = 4; c <= 16; c *= 4)
		target("insert, " c " producers / 2 producers", ratio("insert" SUBSEP "databuffer" SUBSEP c,
			"insert" SUBSEP "databuffer" SUBSEP 2), 0.95, 1)
	for (c = 1; c <= 2; c++) {
		p = "latency" SUBSEP "databuffer" SUBSEP c SUBSEP
		target("one insert, median ns, producers: " c, median(p "p50"), 6, 0)
		target("one insert, 99th percentile ns, producers: " c, median(p "p99"), 20, 0)
		target("one insert, 99.9th percentile ns, producers: " c, median(p "p999"), 100, 0)
	}
	targets_at_each("batches", "insert_array of 100 / mutex buffer", "databuffer", "mutex_buffer", 1.3)
	targets_at_each("batches", "insert_array of 100 / moodycamel's bulk", "databuffer", "moodycamel", 1)
	for (c = 1; c <= column_count["variable"]; c++) {
		target_of_lengths("264 bytes", c)
		target_of_lengths("64 bytes", c)
	}
	target("bytes of a buffered 64-byte item", median("memory" SUBSEP "databuffer" SUBSEP 1), 72, 0)
	target("walking databuffer_batch_array / a C array", over(figure("view", "databuffer_batch_array"),
		figure("view", "plain C array")), 1.05, 0)
	for (i = 1; i <= row_count["fill"]; i++) {
		row = rows["fill", i]
		if (row ~ /mean fill/)
			target(row ", %", figure("fill", row), 95, 1)
		if (row ~ /largest batch/)
			target(row, figure("fill", row), 5000, 0)
	}
	target("a batch of 100 in a process costs more, us", figure("processes", "a batch of 100 in a process costs more"),
		20, 0)
	target("one insert, flusher processes / threads", over(figure("processes", "one insert, processes"),
		figure("processes", "one insert, threads")), 1.05, 0)
	target("CSV, times as fast as sqlite3 .import",
		figure("command", "databuffer of CSV: times as fast as .import of CSV"), 1, 1)
	target("NDJSON, times as fast as sqlite3 .import of CSV",
		figure("command", "databuffer of NDJSON: times as fast as .import of CSV"), 0.5, 1)
	target("CSV, the buffer's share, %", figure("command", "databuffer of CSV: the buffer's share"), 5, 0)
	target("NDJSON, the buffer's share, %", figure("command", "databuffer of NDJSON: the buffer's share"), 5, 0)
	print ""
}
