// node check_result.js MODULES DIR SCHEMA: reads DIR/result.json and
// DIR/latency.hlog with tools that are not ours and prints what they say:
// { "schema": [mistakes], "metrics": { TAG: { count, percentiles: [[p, ns]] } } }.
"use strict";
const fs = require("fs");
const path = require("path");

const [modules, dir, schema] = process.argv.slice(2);
const load = (name) => require(path.join(modules, name));
const read = (name) => fs.readFileSync(name, "utf8");
const Ajv = load("ajv/dist/2020");
const hdr = load("hdr-histogram-js");

const result = JSON.parse(read(path.join(dir, "result.json")));
const ajv = new Ajv({ allErrors: true, strict: true, allowUnionTypes: true });
const valid = ajv.validate(JSON.parse(read(schema)), result);
const answer = { schema: valid ? [] : ajv.errors.map((e) => `${e.instancePath} ${e.message}`), metrics: {} };

const reader = new hdr.HistogramLogReader(read(path.join(dir, "latency.hlog")), 64);
for (let h = reader.nextIntervalHistogram(); h; h = reader.nextIntervalHistogram()) {
	const told = (result.metrics || {})[h.tag];
	answer.metrics[h.tag] = {
		count: h.totalCount,
		percentiles: told ? told.percentiles.map((p) => [p.percentile, h.getValueAtPercentile(p.percentile)]) : [],
	};
}
console.log(JSON.stringify(answer));
