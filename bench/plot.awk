# plot.awk: draws the results of bench/run as SVG: -v plot=throughput or -v plot=latency (with results.awk).
#
# Written by hand rather than with gnuplot: it is two pictures, and so they need no further package, follow
# the reader's light or dark page, and label each line where it ends instead of in a legend.

function log10(value) {
	return log(value) / log(10)
}

# Ours stands out, the floors (which nothing that is shared can reach) are dashed, all others are grey.
function kind(peer) {
	return peer == "databuffer" ? "ours" : peer ~ /^(raw_copy|private_)/ ? "floor" : "peer"
}

BEGIN {
	# Marks for telling greys apart.
	split("M-3,-3h6v6h-6z M0,-4l4,7h-8z M-4,0l4,-4l4,4l-4,4z M0,4l4,-7h-8z M-3,-3l6,6M-3,3l6,-6 " \
		"M-4,0h8M0,-4v8", marks, " ")
}
field("section") != (plot == "throughput" ? "insert" : "latency") || field("too_slow") != "" {
	next
}
{
	peer = field("peer")
	if (field("variant") != "")
		peer = peer ", " field("variant")
	if (!(peer in known)) {
		known[peer] = 1
		peers[++peer_count] = peer
	}
	if (plot == "throughput") {
		x = field("producers")
		if (!(x in position)) {
			position[x] = ++x_count
			xs[x_count] = x
		}
		add(peer SUBSEP x, field("mrecords"))
	} else if (field("producers") == 1) {
		add(peer SUBSEP "p50", field("p50"))
		add(peer SUBSEP "p99", field("p99"))
		add(peer SUBSEP "p999", field("p999"))
	}
}

# Colours are written out, since not every viewer knows CSS variables.
function print_style(ink, faint, grey, page, ours, floor) {
	print "text { font: 12px system-ui, sans-serif; fill: " ink " }"
	print ".page { fill: " page " }"
	print ".title { font-size: 15px; font-weight: 600 }"
	print ".tick, text.peer { fill: " grey " }"
	print "path { fill: none; stroke: " grey "; stroke-width: 1.3 }"
	print "path.grid { stroke: " faint " }"
	print "path.ours, circle.ours { stroke: " ours "; stroke-width: 3 }"
	print "path.floor, circle.floor { stroke: " floor "; stroke-dasharray: 5 4 }"
	print "text.ours { fill: " ours "; font-weight: 600 }"
	print "text.floor { fill: " floor " }"
	print "path.mark, circle.mark { stroke-dasharray: none; stroke-width: 1.6; fill: " page " }"
}

function open_svg(width, height, title) {
	printf "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\"", width, height
	printf " role=\"img\" aria-label=\"%s\">\n", title
	print "<style>"
	print_style("#1f2328", "#d8dee4", "#6e7781", "#ffffff", "#c2410c", "#0f766e")
	print "@media (prefers-color-scheme: dark) {"
	print_style("#e6edf3", "#30363d", "#8b949e", "#0d1117", "#fb923c", "#2dd4bf")
	print "}"
	print "</style>"
	printf "<rect class=\"page\" width=\"%d\" height=\"%d\"/>\n", width, height
	draw_text("title", 16, 26, "start", title)
}

function draw_text(class, x, y, anchor, text) {
	printf "<text class=\"%s\" x=\"%.1f\" y=\"%.1f\"", class, x, y
	printf " text-anchor=\"%s\">%s</text>\n", anchor, text
}

function draw_path(class, path) {
	printf "<path class=\"%s\" d=\"%s\"/>\n", class, path
}

function draw_mark(x, y, peer, number) {
	if (kind(peer) != "peer")
		printf "<circle class=\"mark %s\" cx=\"%.1f\" cy=\"%.1f\" r=\"3\"/>\n", kind(peer), x, y
	else
		printf "<path class=\"mark\" transform=\"translate(%.1f %.1f)\" d=\"%s\"/>\n", x, y, \
			marks[number % 6 + 1]
}

# --- Million records a second over producers ----------------------------------------------------------------

function throughput_y(value) {
	return bottom - (log10(value) - low) / (high - low) * (bottom - top)
}

function draw_throughput(    i, k, p, x, y, value, path, order, swap, last, at, label_y) {
	left = 56; right = 560; top = 50; bottom = 400; low = 99; high = -99
	for (i = 1; i <= peer_count; i++)
		for (k = 1; k <= x_count; k++)
			if (count[peers[i] SUBSEP xs[k]] > 0) {
				value = log10(median(peers[i] SUBSEP xs[k]))
				low = value < low ? value : low
				high = value > high ? value : high
			}
	low -= 0.15
	open_svg(760, 450, "Inserts: million records of 64 bytes a second, by producers")
	for (p = int(low + 99) - 99; p <= high; p++)
		for (k = 1; k <= 5; k += k == 1 ? 1 : 3) {
			value = log10(k) + p
			if (value < low || value > high)
				continue
			y = bottom - (value - low) / (high - low) * (bottom - top)
			draw_path("grid", sprintf("M%d %.1fH%d", left, y, right))
			draw_text("tick", left - 8, y + 4, "end", k * 10 ^ p)
		}
	for (k = 1; k <= x_count; k++) {
		x_at[k] = (left + right) / 2
		if (x_count > 1)
			x_at[k] = left + 12 + (k - 1) * (right - left - 24) / (x_count - 1)
		draw_text("tick", x_at[k], bottom + 20, "middle", xs[k])
	}
	draw_text("tick", (left + right) / 2, bottom + 38, "middle", "producers")
	for (i = 1; i <= peer_count; i++) {
		path = ""
		for (k = 1; k <= x_count; k++) {
			if (count[peers[i] SUBSEP xs[k]] == 0)
				continue
			y = throughput_y(median(peers[i] SUBSEP xs[k]))
			path = path sprintf("%s%.1f %.1f", path == "" ? "M" : "L", x_at[k], y)
			end_x[i] = x_at[k]
			end_y[i] = y
		}
		draw_path(kind(peers[i]), path)
		for (k = 1; k <= x_count; k++)
			if (count[peers[i] SUBSEP xs[k]] > 0)
				draw_mark(x_at[k], throughput_y(median(peers[i] SUBSEP xs[k])), peers[i], i)
		order[i] = i
	}
	# Labels from the top down, none over another.
	for (i = 2; i <= peer_count; i++)
		for (k = i; k > 1 && end_y[order[k]] < end_y[order[k - 1]]; k--) {
			swap = order[k]
			order[k] = order[k - 1]
			order[k - 1] = swap
		}
	last = top - 20
	for (i = 1; i <= peer_count; i++) {
		at = order[i]
		label_y = end_y[at] + 4 < last + 15 ? last + 15 : end_y[at] + 4
		last = label_y
		draw_path("grid", \
			sprintf("M%.1f %.1fL%d %.1f", end_x[at] + 6, end_y[at], right + 14, label_y - 4))
		draw_text(kind(peers[at]), right + 18, label_y, "start", peers[at])
	}
	print "</svg>"
}

# --- Percentiles of one insert ------------------------------------------------------------------------------

function latency_x(value) {
	value = log10(value < 1 ? 1 : value)
	return left + (value > high ? high : value) / high * (right - left)
}

function draw_latency(    i, k, p, x, y, key, half, height, value) {
	left = 180; right = 730; top = 62; high = 1
	for (i = 1; i <= peer_count; i++) {
		value = log10(median(peers[i] SUBSEP "p999") + 1)
		high = value > high ? value : high
	}
	height = top + peer_count * 26 + 40
	bottom = height - 40
	open_svg(760, height, "One insert, 1 producer, nothing full: median, 99th and 99.9th percentile, ns")
	for (p = 0; p <= high; p++)
		for (k = 1; k <= 5; k += k == 1 ? 1 : 3) {
			if (p + log10(k) > high)
				continue
			x = latency_x(k * 10 ^ p)
			draw_path("grid", sprintf("M%.1f %dV%d", x, top - 10, bottom))
			draw_text("tick", x, bottom + 18, "middle", k * 10 ^ p)
		}
	for (i = 1; i <= peer_count; i++) {
		y = top + (i - 1) * 26 + 8
		key = peers[i] SUBSEP
		draw_text(kind(peers[i]), left - 14, y + 4, "end", peers[i])
		x = latency_x(median(key "p50"))
		draw_path(kind(peers[i]), sprintf("M%.1f %.1fH%.1f", x, y, latency_x(median(key "p999"))))
		draw_mark(x, y, peers[i], i)
		for (k = 1; k <= 2; k++) {
			x = latency_x(median(key (k == 1 ? "p99" : "p999")))
			half = k == 1 ? 4 : 7
			draw_path("mark " kind(peers[i]), sprintf("M%.1f %.1fv%d", x, y - half, 2 * half))
		}
	}
	print "</svg>"
}

END {
	if (peer_count == 0) {
		print "plot.awk: the results have nothing to draw" >"/dev/stderr"
		exit 1
	}
	if (plot == "throughput")
		draw_throughput()
	else
		draw_latency()
}
