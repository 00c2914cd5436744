# What went in and what came out, per second.  Mailboxes are polled, so short
# steps would show the polls rather than the mail: averages over at least a
# quarter of a second, a whole one in runs of more than ten.
stats series using 1 every ::1 nooutput
step = STATS_records > 1 ? (STATS_max - STATS_min) / (STATS_records - 1) : 0.1
wide = x_max > 200 ? x_max / 200 : x_max > 10 ? 1 : 0.25
wide = wide < step ? step : wide
bin(t) = wide * floor(t / wide + 1e-6)
set xrange [0:x_max]
set yrange [0:*]
set xlabel "seconds since the first message"
set ylabel "messages per second"
plot series using (bin($1)):($3 * step / wide) every ::1 smooth frequency with steps linewidth 1.6 linecolor rgb line_e title "accepted", \
	"" using (bin($1)):($4 * step / wide) every ::1 smooth frequency with steps linewidth 2.2 linecolor rgb line_a title "retrieved"
