// validate.js SCHEMA FILE…: exit status 1, and each error, when a file does not match the JSON schema.
"use strict";
const fs = require("fs");
const Ajv = require("ajv/dist/2020");

const [schema, ...files] = process.argv.slice(2);
const read = (path) => JSON.parse(fs.readFileSync(path, "utf8"));
const validate = new Ajv({ allErrors: true, strict: true, allowUnionTypes: true }).compile(read(schema));
for (const file of files) {
	if (!validate(read(file))) {
		for (const e of validate.errors)
			console.log(`${file}: ${e.instancePath} ${e.message} ${JSON.stringify(e.params)}`);
		process.exitCode = 1;
	}
}
