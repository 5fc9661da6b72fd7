// Regular expressions by PCRE2, compiled to machine code where the machine allows it.
#include "core/regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "core/error.h"

namespace cambium {
namespace {

// PCRE2 counts how often a match tries something again, from 0 for each place where a match may start.
constexpr uint32_t kQuick = 1000;                      // of a place that costs nothing
constexpr uint32_t kMost = 100'000'000;                // of any place
constexpr uint64_t kText = 2'000'000, kPerByte = 100;  // of all other places of a text together
constexpr size_t kJitStack = size_t(64) << 20;         // bytes of address space: taken when a match needs them
constexpr uint32_t kHeap = 256 << 10;                  // KiB, of a match that needs more than that stack

PCRE2_SPTR as_units(std::string_view text) { return reinterpret_cast<PCRE2_SPTR>(text.data()); }

std::string message_of(int code) {
  char buffer[160] = "";
  pcre2_get_error_message(code, reinterpret_cast<PCRE2_UCHAR*>(buffer), sizeof buffer);
  return buffer;
}

struct Free {
  void operator()(pcre2_match_data* match) const { pcre2_match_data_free(match); }
  void operator()(pcre2_match_context* context) const { pcre2_match_context_free(context); }
  void operator()(pcre2_jit_stack* stack) const { pcre2_jit_stack_free(stack); }
};
template <class T>
using Owned = std::unique_ptr<T, Free>;

// What a thread's matches share: limits, and the stack of compiled patterns.
struct Limits {
  Owned<pcre2_match_context> context{pcre2_match_context_create(nullptr)};
  Owned<pcre2_jit_stack> stack{pcre2_jit_stack_create(32 << 10, kJitStack, nullptr)};

  Limits() {
    CHECK(context, "regular expression: no memory");
    if (stack) pcre2_jit_stack_assign(context.get(), nullptr, stack.get());  // without: 32 KiB, then the interpreter
    pcre2_set_heap_limit(context.get(), kHeap);
    pcre2_set_match_limit(context.get(), kMost);
    pcre2_set_depth_limit(context.get(), kMost);
  }
  static Limits& of_thread() {
    thread_local Limits limits;
    return limits;
  }
};

// call(option, match data): by the compiled pattern, and where its stack is too small by the interpreter, which
// has the heap.
template <class Call>
int by_any_means(const Call& call, pcre2_match_data* match) {
  const int result = call(0u, match);
  if (result != PCRE2_ERROR_JIT_STACKLIMIT) return result;
  if (!match) return call(PCRE2_NO_JIT, nullptr);
  // Its own data: they keep the heap they used.
  const Owned<pcre2_match_data> own(pcre2_match_data_create(pcre2_get_ovector_count(match), nullptr));
  CHECK(own, "regular expression: no memory");
  const int again = call(PCRE2_NO_JIT, own.get());
  std::copy_n(pcre2_get_ovector_pointer(own.get()), 2 * pcre2_get_ovector_count(match),
              pcre2_get_ovector_pointer(match));
  return again;
}

// The search for matches in one text, with what it may cost.
class Search {
 public:
  Search(const pcre2_code* code, std::string_view text, bool unicode)
      : code_(code), text_(text), unicode_(unicode), left_(kText + kPerByte * text.size()) {}

  // The first match from `at` on, in `match`; false if there is none.
  bool next(size_t at, pcre2_match_data* match) {
    while (at < text_.size()) {
      int result = run(at, PCRE2_UNSET, kQuick, match);
      if (result != PCRE2_ERROR_MATCHLIMIT) return found(result);
      // Some place costs more: they are tried one by one up to it.
      for (bool quick = true; quick && at < text_.size(); at = after(at)) {
        for (uint32_t limit = kQuick; (result = run(at, at, limit, match)) == PCRE2_ERROR_MATCHLIMIT; limit *= 10) {
          CHECK(limit < kMost && limit <= left_, "regular expression: it takes too long on this text of ", text_.size(),
                " bytes: ", message_of(result));
          left_ -= limit;
          quick = false;
        }
        if (found(result)) return true;
      }
    }
    return false;
  }

 private:
  // Matches that start from `at` to `last`.
  int run(size_t at, size_t last, uint32_t limit, pcre2_match_data* match) {
    pcre2_match_context* const context = Limits::of_thread().context.get();
    pcre2_set_match_limit(context, limit);
    pcre2_set_offset_limit(context, last);
    const auto call = [&](uint32_t option, pcre2_match_data* data) {
      return pcre2_match(code_, as_units(text_), text_.size(), at, option | checked_ | PCRE2_NOTEMPTY, data, context);
    };
    const int result = by_any_means(call, match);
    checked_ = PCRE2_NO_UTF_CHECK;
    pcre2_set_match_limit(context, kMost);
    pcre2_set_offset_limit(context, PCRE2_UNSET);
    return result;
  }
  static bool found(int result) {
    CHECK(result >= 0 || result == PCRE2_ERROR_NOMATCH, "regular expression: ", message_of(result));
    return result >= 0;
  }
  // Where the next character starts.
  size_t after(size_t at) const {
    while (++at < text_.size() && unicode_ && (uint8_t(text_[at]) & 0xC0) == 0x80) continue;
    return at;
  }

  const pcre2_code* code_;
  std::string_view text_;
  bool unicode_;
  uint64_t left_;
  uint32_t checked_ = 0;  // the first match looks whether the text is UTF-8
};

}  // namespace

struct Regex::Compiled {
  pcre2_code* code = nullptr;
  bool unicode = false;
  ~Compiled() { pcre2_code_free(code); }
};

Regex::Regex(std::string_view pattern, int flags) {
  const uint32_t options = (flags & unicode ? PCRE2_UTF : 0u) | (flags & caseless ? PCRE2_CASELESS : 0u) |
                           (flags & anchored ? PCRE2_ANCHORED : 0u) | (flags & properties ? PCRE2_UCP : 0u) |
                           PCRE2_NEVER_BACKSLASH_C | PCRE2_USE_OFFSET_LIMIT;
  int error = 0;
  PCRE2_SIZE where = 0;
  auto compiled = std::make_shared<Compiled>();
  compiled->unicode = flags & unicode;
  compiled->code = pcre2_compile(as_units(pattern), pattern.size(), options, &error, &where, nullptr);
  CHECK(compiled->code, "regular expression '", pattern.substr(0, 200), "', character ", where, ": ",
        message_of(error));
  pcre2_jit_compile(compiled->code, PCRE2_JIT_COMPLETE);  // without it matching is slower, no more
  compiled_ = std::move(compiled);
}

std::string Regex::replace_all(const std::string& text, const char* replacement) const {
  std::string out(text.size() + text.size() / 4 + 64, '\0');
  for (;;) {
    PCRE2_SIZE size = out.size();
    const auto call = [&](uint32_t option, pcre2_match_data*) {
      size = out.size();
      return pcre2_substitute(compiled_->code, as_units(text), text.size(), 0,
                              option | PCRE2_SUBSTITUTE_GLOBAL | PCRE2_SUBSTITUTE_OVERFLOW_LENGTH, nullptr,
                              Limits::of_thread().context.get(), as_units(replacement), PCRE2_ZERO_TERMINATED,
                              reinterpret_cast<PCRE2_UCHAR*>(out.data()), &size);
    };
    const int count = by_any_means(call, nullptr);
    if (count == PCRE2_ERROR_NOMEMORY && size > out.size()) {
      out.resize(size);  // now the length that is needed
      continue;
    }
    CHECK(count >= 0, "regular expression: ", message_of(count));
    out.resize(size);
    return out;
  }
}

void Regex::for_each_match(std::string_view text, const std::function<void(size_t, size_t)>& f) const {
  thread_local const Owned<pcre2_match_data> match(pcre2_match_data_create(1, nullptr));
  Search search(compiled_->code, text, compiled_->unicode);
  for (size_t at = 0; search.next(at, match.get());) {
    const PCRE2_SIZE* const ends = pcre2_get_ovector_pointer(match.get());
    // f may match too, with the same data.
    const size_t begin = ends[0], end = ends[1];
    CHECK(begin >= at && end > begin && end <= text.size(), "regular expression: its matches overlap");
    f(begin, end);
    at = end;
  }
}

Regex::Ends Regex::match_at(std::string_view text, size_t at) const {
  thread_local const Owned<pcre2_match_data> match(pcre2_match_data_create(2, nullptr));
  const auto call = [&](uint32_t option, pcre2_match_data* data) {
    return pcre2_match(compiled_->code, as_units(text), text.size(), at, option | PCRE2_NO_UTF_CHECK, data,
                       Limits::of_thread().context.get());
  };
  const int count = by_any_means(call, match.get());
  if (count == PCRE2_ERROR_NOMATCH) return {};
  CHECK(count >= 0, "regular expression: ", message_of(count));
  const PCRE2_SIZE* ends = pcre2_get_ovector_pointer(match.get());
  return {ends[1], count == 1 ? ends[1] : ends[3]};  // 0: there are more groups than the two asked for
}

}  // namespace cambium
