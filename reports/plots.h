/*
 * plots: the SVG figures of a report, drawn by gnuplot from series.csv and
 * percentiles.csv.
 *
 * What comes back can stand inside an HTML page: no prolog, no ids, and colours
 * as CSS variables of report.css, so that one figure serves light, dark and
 * print.
 */
#ifndef REPORTS_PLOTS_H
#define REPORTS_PLOTS_H

#include "base/buf.h"
#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

/* A stretch of time to be shaded; end_s < begin_s: to the end of the plot. */
struct plot_span {
	double begin_s;
	double end_s;
	const char *label;
};

struct plot {
	const char *script; /* "plot-backlog.gnuplot" */
	const char *dir;    /* result directory */
	double x_max;
	const struct plot_span *spans;
	uint32_t span_count;
	double mark_s; /* a vertical line here; < 0: none */
	const char *mark_label;
};

/* -ENOPKG: there is no gnuplot.  Other errors carry what gnuplot said. */
int plot_svg(const struct plot *p, struct buf *ret_svg, struct err *reterr);

#endif
