/* Joins the functions of your adapter.c to the bindings. */
#include "overhear.h"

void exports_overhear_adapter_guest_describe(description *said) { *said = describe(); }

void exports_overhear_adapter_guest_detect(call *call, overhear_adapter_types_match_t *said) {
  const char *subcommand = detect(call);
  said->tag = subcommand == NULL ? OVERHEAR_ADAPTER_TYPES_MATCH_NO : OVERHEAR_ADAPTER_TYPES_MATCH_YES;
  if (subcommand != NULL) said->val.yes = text_of(subcommand);
}

bool exports_overhear_adapter_guest_declare(call *call, text *subcommand, declaration *said,
                                            overhear_adapter_types_failure_t *failure) {
  (void)failure;
  *said = declare(call, *subcommand);
  return true;
}
