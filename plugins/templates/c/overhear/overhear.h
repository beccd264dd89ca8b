/* What most adapters in C need, over the bindings in adapter.h: short names, rules without counting, and the
   arguments of a call. Texts have a length and no zero at their end. */
#ifndef OVERHEAR_H
#define OVERHEAR_H

#include "adapter.h"
#include "stdlib.h"
#include "string.h"

typedef adapter_string_t text;
typedef overhear_adapter_types_invocation_t call;
typedef overhear_adapter_types_description_t description;
typedef overhear_adapter_types_declaration_t declaration;
typedef overhear_adapter_types_path_rule_t path_rule;

#define IN_WORKSPACE OVERHEAR_ADAPTER_TYPES_BASE_WORKSPACE
#define IN_PACKAGE OVERHEAR_ADAPTER_TYPES_BASE_PACKAGE
#define IN_CWD OVERHEAR_ADAPTER_TYPES_BASE_CWD

/* What your adapter.c has: as `describe`, `detect` and `declare` of the interface. `detect` gives the name of the
   subcommand, or NULL; `declare` begins with a declaration that has no objection. */
description describe(void);
const char *detect(const call *call);
declaration declare(const call *call, text subcommand);

static inline text text_of(const char *words) {
  text text = {(uint8_t *)words, strlen(words)};
  return text;
}

static inline bool is(text text, const char *words) {
  return text.len == strlen(words) && memcmp(text.ptr, words, text.len) == 0;
}

/* Makes room for one more at the end of a list, and gives it. */
#define ADD(list) \
  ((list)->ptr = realloc((list)->ptr, ((list)->len + 1) * sizeof *(list)->ptr), \
   memset(&(list)->ptr[(list)->len], 0, sizeof *(list)->ptr), &(list)->ptr[(list)->len++])

static inline void add_text(adapter_list_string_t *list, const char *words) { *ADD(list) = text_of(words); }

static inline path_rule rule(uint8_t base, text pattern, const char *why) {
  path_rule rule = {base, pattern, text_of(why)};
  return rule;
}

static inline void add_rule(overhear_adapter_types_list_path_rule_t *list, path_rule rule) { *ADD(list) = rule; }

/* A folder that the tool keeps for its own speed, and that two tasks may use at once. */
static inline void add_cache(declaration *declaration, path_rule rule) {
  overhear_adapter_types_cache_dir_t *added = ADD(&declaration->cache_dirs);
  added->path = rule;
  added->concurrent = true;
}

/* A variable that the result depends on. */
static inline void track(declaration *declaration, const char *name, const char *why) {
  overhear_adapter_types_env_rule_t *added = ADD(&declaration->env);
  added->selector.tag = OVERHEAR_ADAPTER_TYPES_ENV_SELECTOR_NAME;
  added->selector.val.name = text_of(name);
  added->mode = OVERHEAR_ADAPTER_TYPES_ENV_MODE_TRACKED;
  added->why = text_of(why);
}

static inline declaration cacheable(void) {
  declaration declaration;
  memset(&declaration, 0, sizeof declaration);
  return declaration;
}

static inline declaration uncacheable(const char *reason) {
  declaration declaration = cacheable();
  declaration.verdict.tag = OVERHEAR_ADAPTER_TYPES_VERDICT_UNCACHEABLE;
  declaration.verdict.val.uncacheable = text_of(reason);
  return declaration;
}

static inline declaration unsure(const char *reason) {
  declaration declaration = cacheable();
  declaration.verdict.tag = OVERHEAR_ADAPTER_TYPES_VERDICT_UNSURE;
  declaration.verdict.val.unsure = text_of(reason);
  return declaration;
}

/* The first argument that is no flag; empty without one. */
static inline text first_word(const call *call) {
  for (size_t at = 0; at < call->args.len; at++) {
    text arg = call->args.ptr[at];
    if (arg.len == 0 || arg.ptr[0] != '-') return arg;
  }
  return text_of("");
}

/* Whether an argument is the flag, or begins with it and `=`. Gives how long the flag is, 0 where it is not. */
static inline size_t flag_length(text arg, const char *flag) {
  size_t length = strlen(flag);
  if (arg.len < length || memcmp(arg.ptr, flag, length) != 0) return 0;
  return arg.len == length || arg.ptr[length] == '=' ? length : 0;
}

/* Whether a flag is there and not `=false`. */
static inline bool has(const call *call, const char *flag) {
  for (size_t at = 0; at < call->args.len; at++) {
    text arg = call->args.ptr[at];
    size_t length = flag_length(arg, flag);
    text rest = {arg.ptr + length, arg.len - length};
    if (length > 0 && !is(rest, "=false")) return true;
  }
  return false;
}

/* The value of a flag (`--out x`, `--out=x`; the last counts), or what holds without it. */
static inline text value(const call *call, const char *flag, text otherwise) {
  text found = otherwise;
  for (size_t at = 0; at < call->args.len; at++) {
    text arg = call->args.ptr[at];
    size_t length = flag_length(arg, flag);
    if (length > 0 && arg.len > length) {
      found.ptr = arg.ptr + length + 1;
      found.len = arg.len - length - 1;
    } else if (length > 0 && at + 1 < call->args.len) {
      found = call->args.ptr[at + 1];
    }
  }
  return found;
}

/* Whether a path leads to nothing above where it begins. What lies outside is left to the trace. */
static inline bool is_inside(text path) {
  size_t start = 0;
  if (path.len == 0 || path.ptr[0] == '/') return false;
  for (size_t at = 0; at <= path.len; at++) {
    if (at < path.len && path.ptr[at] != '/') continue;
    text segment = {path.ptr + start, at - start};
    if (is(segment, "..") || is(segment, ".") || segment.len == 0) return false;
    start = at + 1;
  }
  return true;
}

#endif
