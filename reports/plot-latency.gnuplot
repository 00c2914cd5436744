# End-to-end latency of the messages that were meant to leave at each moment.
set xrange [0:x_max]
set logscale y
eval time_tics
set xlabel "seconds since the first message"
plot series using 1:8 every ::1 with lines linewidth 1.6 linecolor rgb line_b title "99 % of messages", \
	"" using 1:7 every ::1 with lines linewidth 2.2 linecolor rgb line_a title "half of messages"
