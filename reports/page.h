/*
 * page: the pieces of HTML and of JSON reading that both kinds of report are made of.
 */
#ifndef REPORTS_PAGE_H
#define REPORTS_PAGE_H

#include "base/buf.h"

#include <jansson.h>

/* Appends everything up to <main>: the title is "VERDICT: OF WHAT", the style is inlined. */
void page_begin(struct buf *html, const char *verdict, const char *of_what);

/* Appends a key figure, for <dl class="figures">; name and note are HTML. */
void page_figure(struct buf *html, const char *name, json_int_t n, bool bad, const char *note);

/* Appends text with &, <, > and quotes escaped. */
void page_text(struct buf *html, const char *text);

/* Appends "0.8 ms", "12 ms", "1.53 s", "2 min 5 s": at most three significant digits. */
void page_duration(struct buf *html, double ms);

/* Appends 12345 as "12 345", with thin spaces. */
void page_count(struct buf *html, json_int_t n);

/* Values by name, for objects that were checked to be there: a missing one is 0, "" or NULL. */
json_int_t get_int(const json_t *object, const char *name);
double get_number(const json_t *object, const char *name);
const char *get_text(const json_t *object, const char *name);
bool get_bool(const json_t *object, const char *name);

#endif
