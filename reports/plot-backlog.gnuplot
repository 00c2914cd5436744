# Accepted, and not yet retrieved or bounced.
set xrange [0:x_max]
set yrange [0:*]
set xlabel "seconds since the first message"
set ylabel "messages"
set style fill solid 0.22 noborder
plot series using 1:6 every ::1 with filledcurves x1 linecolor rgb line_a notitle, \
	"" using 1:6 every ::1 with lines linewidth 2.2 linecolor rgb line_a title "accepted, not yet retrieved"
