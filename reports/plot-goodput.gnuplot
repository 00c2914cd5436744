# What went in and what came out, per second.
set xrange [0:x_max]
set yrange [0:*]
set xlabel "seconds since the first message"
set ylabel "messages per second"
plot series using 1:3 every ::1 with lines linewidth 1.6 linecolor rgb line_e title "accepted", \
	"" using 1:4 every ::1 with lines linewidth 2.2 linecolor rgb line_a title "retrieved"
