// decode_hlog.js FILE PERCENTILE…: reads an HDR histogram log with hdr-histogram-js, a reader that is not
// ours, and prints {tag: {count, max_ns, percentiles: {percentile: ns}}} as JSON.
"use strict";
const fs = require("fs");
const hdr = require("hdr-histogram-js");

const [file, ...percentiles] = process.argv.slice(2);
const reader = new hdr.HistogramLogReader(fs.readFileSync(file, "utf8"), 64);
const result = {};
for (let h = reader.nextIntervalHistogram(); h; h = reader.nextIntervalHistogram()) {
	const of = { count: h.totalCount, max_ns: h.maxValue, percentiles: {} };
	for (const p of percentiles)
		of.percentiles[p] = h.getValueAtPercentile(Number(p));
	result[h.tag] = of;
}
console.log(JSON.stringify(result));
