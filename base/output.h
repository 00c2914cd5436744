/*
 * output: whether what a command printed was really written.
 *
 * A full disk shows up only when the buffer of standard output is written, and
 * an exit status of 0 would then stand over half a result.  A reader that has
 * gone (`| head -1`) has had enough, which is no error.
 */
#ifndef BASE_OUTPUT_H
#define BASE_OUTPUT_H

/*
 * To be called last: writes what is left.  Returns code, or code_if_lost when
 * something could not be written and code says that all is well; then one
 * line on stderr says why.
 */
int output_end(const char *program, int code, int code_if_lost);

#endif
