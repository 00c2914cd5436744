# What all plots share.  Given before: dir (the result directory), x_max.
# The colours are those of report.css in its light scheme; the renderer turns
# each into its CSS variable, so that a plot follows the reader's scheme.
ink    = "#1c2126"
soft   = "#5d6670"
grid   = "#dcdfe2"
line_a = "#1d5fd1"
line_b = "#c2570c"
line_c = "#0f8a6d"
line_d = "#8b3fc0"
line_e = "#7a828c"

set terminal svg size 960,300 dynamic font "sans-serif,14" linewidth 1.2
set encoding utf8
set datafile separator ","
set border 3 linecolor rgb grid linewidth 1
set grid xtics ytics linecolor rgb grid linewidth 0.6 dashtype 1 back
set tics nomirror textcolor rgb soft scale 0.4
set xlabel textcolor rgb soft
set ylabel textcolor rgb soft
set key above left horizontal Left reverse samplen 1.6 textcolor rgb ink
set lmargin 9
set rmargin 2
set tmargin 2.6
set bmargin 3.2
# Latencies read as people say them.
time_tics = 'set ytics ("1 µs" 0.001, "10 µs" 0.01, "0.1 ms" 0.1, "1 ms" 1, "10 ms" 10, "0.1 s" 100, "1 s" 1000, "10 s" 10000, "100 s" 1e5, "1000 s" 1e6)'
series = dir."/series.csv"
percentiles = dir."/percentiles.csv"
