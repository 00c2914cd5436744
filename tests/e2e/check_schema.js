// node check_schema.js MODULES SCHEMA FILE: what a schema checker that is not
// ours finds wrong with a JSON file, one a line.
"use strict";
const fs = require("fs");
const path = require("path");

const [modules, schema, file] = process.argv.slice(2);
const Ajv = require(path.join(modules, "ajv/dist/2020"));
const ajv = new Ajv({ allErrors: true, strict: true, formats: { date: /^\d{4}-\d\d-\d\d$/ } });
const read = (name) => JSON.parse(fs.readFileSync(name, "utf8"));
if (!ajv.validate(read(schema), read(file)))
	for (const e of ajv.errors) console.log(`${e.instancePath} ${e.message} ${JSON.stringify(e.params)}`);
