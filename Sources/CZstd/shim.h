// The functions that libzstd calls "static linking only" may change from one version to the next. Debian's library exports
// them, and these are used: frames without a magic number, dictionaries by reference and with chosen parameters, and the
// dictionary trainer with parameters.
#define ZSTD_STATIC_LINKING_ONLY
#define ZDICT_STATIC_LINKING_ONLY
#include <zdict.h>
#include <zstd.h>
#include <zstd_errors.h>
