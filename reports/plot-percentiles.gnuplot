# Latency by percentile, one curve for each metric.
# The x axis runs over 1/(1-p), so that each nine gets as much room.
set terminal svg size 960,380 dynamic font "sans-serif,14" linewidth 1.2
set logscale xy
eval time_tics
set xrange [1:x_max]
set yrange [0.1:*]
set xtics ("0 %%" 1, "50 %%" 2, "90 %%" 10, "99 %%" 100, "99.9 %%" 1000, "99.99 %%" 10000, "99.999 %%" 100000)
set xlabel "share of messages that were at least as fast"
plot percentiles using (strcol(1) eq "end_to_end" ? $3 : NaN):4 with lines linewidth 2.6 linecolor rgb line_a title "end to end", \
	"" using (strcol(1) eq "queue" ? $3 : NaN):4 with lines linewidth 1.8 linecolor rgb line_b title "queue", \
	"" using (strcol(1) eq "accept" ? $3 : NaN):4 with lines linewidth 1.8 linecolor rgb line_c title "accept", \
	"" using (strcol(1) eq "transfer" ? $3 : NaN):4 with lines linewidth 1.8 linecolor rgb line_d title "transfer", \
	"" using (strcol(1) eq "visibility" ? $3 : NaN):4 with lines linewidth 1.8 dashtype 2 linecolor rgb line_e title "visibility"
