/*
 * fuzz_yaml: fuzz.h for what reads YAML.  To be included once in a program: it
 * defines what the leak checker asks for.
 */
#ifndef TESTS_FUZZ_FUZZ_YAML_H
#define TESTS_FUZZ_FUZZ_YAML_H

#include "tests/fuzz/fuzz.h"

/* libfyaml 0.7.12 itself loses a buffer on some syntax errors; leaks of our own are still reported. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
	return "leak:libfyaml.so\n";
}

#endif
