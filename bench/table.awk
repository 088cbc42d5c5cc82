# table.awk: the results of bench/run, a line of JSON each, as tables of Markdown. It is given together with
# results.awk and targets.awk.
#
# A cell of several rounds is their median, and in brackets the least and the most.

function digits(value) {
	return value == "" ? "-" : sprintf(value < 10 ? "%.2f" : value < 100 ? "%.1f" : "%.0f", value)
}

function cell(key,    middle) {
	middle = median(key)
	if (middle == "")
		return "-"
	if (count[key] < 2)
		return digits(middle)
	return digits(middle) " (" digits(samples[key, 1]) "-" digits(samples[key, count[key]]) ")"
}

function ratio(key, other,    a, b) {
	a = median(key)
	b = median(other)
	return a == "" || b == "" || b == 0 ? "-" : sprintf("%.2f", a / b)
}

function note_row(section, row) {
	if (!((section, row) in known_row)) {
		known_row[section, row] = 1
		rows[section, ++row_count[section]] = row
	}
}

function note_column(section, column,    i) {
	if ((section, column) in known_column)
		return
	known_column[section, column] = 1
	columns[section, ++column_count[section]] = column
}

# --- Reading ------------------------------------------------------------------------------------------------

{
	section = field("section")
}
section == "machine" {
	machine = field("cpu") ", " field("cores") " cores, " field("system") ", " field("compiler")
	quick = field("quick") == "true"
	when = field("date") ", " field("rounds") " rounds, load average at the start " field("load")
	next
}
section == "skipped" {
	skipped = skipped (skipped == "" ? "" : ", ") field("peer") " (" field("package") ")"
	next
}
field("too_slow") != "" {
	slow[section, field("peer")] = 1
	next
}
field("figure") != "" {
	note_row(section, field("name"))
	add(section SUBSEP field("name"), field("value"))
	unit[section, field("name")] = field("unit")
	next
}
{
	name = field("peer")
	if (field("variant") != "")
		name = name ":" field("variant")
	if (field("size_min") != field("size_max"))
		size = field("size_min") "-" field("size_max")
	else
		size = field("size_max")
	producers = field("producers")
	row = section == "variable" ? name ", " size " bytes" : name
	note_row(section, row)
	note_column(section, producers)
	key = section SUBSEP row SUBSEP producers
	if (section == "latency") {
		add(key SUBSEP "p50", field("p50"))
		add(key SUBSEP "p99", field("p99"))
		add(key SUBSEP "p999", field("p999"))
		add("clock resolution", field("resolution"))
		waits[row] += field("waits")
	} else if (section == "memory") {
		add(key, field("bytes_per_record"))
		held[row] = field("held")
	} else if (section == "variable") {
		add(key, field("mbytes"))
	} else {
		add(key, field("mrecords"))
	}
}

# --- Printing -----------------------------------------------------------------------------------------------

function heading(text, explanation) {
	printf "### %s\n\n%s\n\n", text, explanation
}

# A section's rows over the numbers of producers, and then as multiples of each of the rows in `others`.
function print_rates(section, unit_text, others, other_count,    i, c, k, line, key) {
	line = "| " unit_text
	for (c = 1; c <= column_count[section]; c++)
		line = line " | " columns[section, c]
	print line " |"
	line = "|---"
	for (c = 1; c <= column_count[section]; c++)
		line = line "|--:"
	print line "|"
	for (i = 1; i <= row_count[section]; i++) {
		line = "| " rows[section, i]
		for (c = 1; c <= column_count[section]; c++)
			line = line " | " cell(section SUBSEP rows[section, i] SUBSEP columns[section, c])
		print line " |"
	}
	print ""
	if (other_count == 0)
		return
	line = "| as a multiple of"
	for (k = 1; k <= other_count; k++)
		for (c = 1; c <= column_count[section]; c++)
			line = line " | " others[k] " " columns[section, c]
	print line " |"
	line = "|---"
	for (c = 1; c <= other_count * column_count[section]; c++)
		line = line "|--:"
	print line "|"
	for (i = 1; i <= row_count[section]; i++) {
		line = "| " rows[section, i]
		for (k = 1; k <= other_count; k++)
			for (c = 1; c <= column_count[section]; c++) {
				key = SUBSEP columns[section, c]
				line = line " | " ratio(section SUBSEP rows[section, i] key, \
					section SUBSEP others[k] key)
			}
		print line " |"
	}
	print ""
}

function print_latency(    i, c, p, key, line, parts) {
	split("p50 p99 p999", parts, " ")
	line = "| nanoseconds"
	for (c = 1; c <= column_count["latency"]; c++)
		line = line " | p50, " columns["latency", c] " | p99 | p99.9"
	print line " | found full |"
	line = "|---"
	for (c = 1; c <= 3 * column_count["latency"]; c++)
		line = line "|--:"
	print line "|--:|"
	for (i = 1; i <= row_count["latency"]; i++) {
		line = "| " rows["latency", i]
		for (c = 1; c <= column_count["latency"]; c++) {
			key = "latency" SUBSEP rows["latency", i] SUBSEP columns["latency", c] SUBSEP
			for (p = 1; p <= 3; p++)
				line = line " | " cell(key parts[p])
		}
		print line " | " waits[rows["latency", i]] " |"
	}
	print ""
}

function print_memory(    i, row) {
	print "| | bytes a record | records held |\n|---|--:|--:|"
	for (i = 1; i <= row_count["memory"]; i++) {
		row = rows["memory", i]
		print "| " row " | " cell("memory" SUBSEP row SUBSEP 1) " | " held[row] " |"
	}
	print ""
}

function print_figures(section, title, explanation,    i, row) {
	if (row_count[section] == 0)
		return
	heading(title, explanation)
	print "| | | |\n|---|--:|---|"
	for (i = 1; i <= row_count[section]; i++) {
		row = rows[section, i]
		print "| " row " | " cell(section SUBSEP row) " | " unit[section, row] " |"
	}
	print ""
}

END {
	print "Measured on: " machine ". " when "."
	if (quick)
		print "\nThe short form: all that came out is what was put in; its times mean nothing."
	if (skipped != "")
		print "\nSkipped, because a package is missing: " skipped "."
	for (pair in slow) {
		split(pair, part, SUBSEP)
		too_slow = too_slow (too_slow == "" ? "" : ", ") part[2] " in " part[1]
	}
	if (too_slow != "")
		print "\nToo slow to wait for (half a minute) at some number of producers: " too_slow "."
	print ""
	floors[1] = "moodycamel"
	floors[2] = "private_buffer"
	batch_floors[1] = "mutex_buffer"
	batch_floors[2] = "moodycamel"
	if (row_count["insert"] > 0) {
		heading("Inserts, one by one", \
			"Million records of 64 bytes a second, over all producers, by their number.")
		print_rates("insert", "million/s", floors, 2)
	}
	if (row_count["fresh"] > 0) {
		heading("The same, each record written right before its insert", \
			"A copy by wide loads waits for narrow stores before it: whom does that slow down?")
		print_rates("fresh", "million/s", floors, 2)
	}
	if (row_count["batches"] > 0) {
		heading("Batches of 100", "Million records of 64 bytes a second; 100 records in each call.")
		print_rates("batches", "million/s", batch_floors, 2)
	}
	if (row_count["variable"] > 0) {
		heading("Lengths", "Million bytes a second: 16 to 512 bytes mixed, their mean, and 64.")
		print_rates("variable", "MB/s", floors, 0)
	}
	if (row_count["latency"] > 0) {
		heading("Latency of one insert", \
			"Nothing full; the clock's own cost is subtracted. The clock was good to " \
			digits(median("clock resolution")) " ns.")
		print_latency()
	}
	if (row_count["memory"] > 0) {
		heading("Memory", \
			"Bytes of memory for each record of 64, as many as go in while nobody consumes.")
		print_memory()
	}
	print_figures("view", "A handler's view", "Walking a batch of 5,000 items of 64 bytes, an item.")
	print_figures("fill", "Full batches", "How full those are that were cut because they were full.")
	print_figures("times", "Calls that are not inserts", "64-byte items, 4 partitions.")
	print_figures("idle", "Idle buffers", "Default options, 1 partition each.")
	print_figures("processes", "Flusher processes", "Beside flusher threads, in turn. 64-byte items, 1 partition; inserts: 4.")
	print_figures("command", "The command", "Rows of six columns, into an SQLite table that is there.")
	if (!quick)
		print_targets()
}
