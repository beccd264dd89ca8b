/* What overhear should know of `{{program}}`. The interface, every field explained: overhear/adapter.h. */
#include "overhear/overhear.h"

description describe(void) {
  description description;
  memset(&description, 0, sizeof description);
  description.id = text_of("{{vendor}}/{{name}}");
  description.version = text_of("0.1.0");
  description.title = text_of("{{program}}");
  add_text(&description.programs, "{{program}}");
  add_text(&description.packages, "{{program}}");
  return description;
}

/* A function of the call alone: which command is this? */
const char *detect(const call *call) {
  text word = first_word(call);
  if (is(word, "build")) return "build";
  if (is(word, "dev") || is(word, "serve")) return "dev";
  return NULL;
}

/* What overhear should believe of it. What is not said here is left to the trace. */
declaration declare(const call *call, text subcommand) {
  if (!is(subcommand, "build")) return uncacheable("it is a server");
  if (has(call, "--watch") || has(call, "-w")) return uncacheable("it watches until it is stopped");
  declaration said = cacheable();
  text folder = value(call, "--out", text_of("dist"));
  if (is_inside(folder)) add_rule(&said.outputs, rule(IN_CWD, folder, "what it builds"));
  add_cache(&said, rule(IN_PACKAGE, text_of("node_modules/.cache/{{program}}"), "what the tool keeps for its own speed"));
  track(&said, "NODE_ENV", "it decides what comes out");
  return said;
}
