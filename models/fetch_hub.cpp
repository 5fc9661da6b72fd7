// Models of the Hugging Face hub, file by file over HTTP; what an interrupted run got is kept and
// completed.
//
// downloads/OWNER--NAME/files holds complete files, parts/FILE an incomplete one and
// parts/FILE.version what it is a part of: the server's tag and length. When all are complete,
// `files` becomes the model's directory.
#include <curl/curl.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>
#include <thread>

#include "core/environment.h"
#include "core/json.h"
#include "core/progress.h"
#include "core/sha256.h"
#include "models/fetch.h"
#include "models/fetch_place.h"

namespace cambium {
namespace {

constexpr int kAttempts = 6;  // without a byte more
constexpr int kQuestions = 3;
// Whatever a server sends, or forgets to say, it cannot fill the disk: the largest weights that are split nowhere
// (where the server does not say how long they are, less), and the largest of all other files.
constexpr int64_t kLargestWeights = int64_t(1) << 40, kLargestUnannounced = int64_t(1) << 34,
                  kLargestText = int64_t(256) << 20;

int64_t largest(const std::string& file, bool announced) {
  if (!file.ends_with(".safetensors")) return kLargestText;
  return announced ? kLargestWeights : kLargestUnannounced;
}

// What the server says about a file before it sends it.
struct Answer {
  long status = 0;
  int64_t size = -1;   // of the whole file; -1: not said
  std::string tag;     // changes when the file does; the SHA-256 of large files
  std::string commit;  // of the repository
  std::string location;
  std::string range;
  bool linked = false;  // size and tag are those of the file that `location` leads to

  std::string version() const { return text(tag, " ", size); }
};

std::string lower(std::string_view s) {
  std::string out(s);
  for (char& c : out) c = char(std::tolower(static_cast<unsigned char>(c)));
  return out;
}

// One header line of an answer.
void read_header(std::string_view line, Answer& answer) {
  const auto trim = [](std::string_view s) {
    while (!s.empty() && std::isspace(static_cast<unsigned char>(s.front()))) s.remove_prefix(1);
    while (!s.empty() && std::isspace(static_cast<unsigned char>(s.back()))) s.remove_suffix(1);
    return s;
  };
  const size_t colon = line.find(':');
  if (colon == line.npos) return;
  const std::string name = lower(trim(line.substr(0, colon)));
  std::string_view value = trim(line.substr(colon + 1));
  const auto unquoted = [&] {
    if (value.starts_with("W/")) value.remove_prefix(2);
    if (value.size() >= 2 && value.front() == '"' && value.back() == '"') value = value.substr(1, value.size() - 2);
    return std::string(value);
  };
  const auto number = [&] { return int64_t(std::strtoll(std::string(value).c_str(), nullptr, 10)); };
  if (name == "x-linked-etag") answer.tag = unquoted();
  else if (name == "etag" && answer.tag.empty()) answer.tag = unquoted();
  else if (name == "x-linked-size") answer.size = number(), answer.linked = true;
  else if (name == "content-length" && !answer.linked) answer.size = number();
  else if (name == "x-repo-commit") answer.commit = value;
  else if (name == "location") answer.location = value;
  else if (name == "content-range") answer.range = value;
}

size_t take_header(char* line, size_t size, size_t count, void* answer) {
  read_header({line, size * count}, *static_cast<Answer*>(answer));
  return size * count;
}

// The part of a file that a request appends to.
struct Receiver {
  int fd;
  int64_t from;  // where the request starts
  int64_t size;  // of the whole file, -1 if not known
  int64_t most;  // that it may have
  Progress& progress;
  int64_t at = from;  // where the next byte goes
  CURL* curl = nullptr;
  Answer answer = {};
  int error = 0;  // of writing, an errno
  bool too_long = false, started = false;

  // Called at the first byte. A server that knows no ranges sends the file from its start.
  bool start() {
    started = true;
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &answer.status);
    if (answer.status == 206) return answer.range.starts_with(text("bytes ", from, "-"));
    if (answer.status != 200) return false;
    at = 0;
    if (::ftruncate(fd, 0) != 0) error = errno;
    return error == 0;
  }
  size_t take(const char* bytes, size_t count) {
    if (!started && !start()) return 0;
    too_long = at + int64_t(count) > (size < 0 ? most : size);
    if (too_long) return 0;
    for (size_t done = 0; done < count;) {
      const ssize_t n = ::pwrite(fd, bytes + done, count - done, at);
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) {
        error = n < 0 ? errno : ENOSPC;
        return 0;
      }
      at += n, done += size_t(n);
    }
    progress.update(at);
    return count;
  }
};

class Http {
 public:
  Http() : curl_(curl_easy_init(), curl_easy_cleanup) {
    static const CURLcode global = curl_global_init(CURL_GLOBAL_DEFAULT);
    CHECK(global == CURLE_OK && curl_, "libcurl cannot be used");
    if (const auto token = environment("HF_TOKEN"))
      headers_.reset(curl_slist_append(nullptr, ("Authorization: Bearer " + *token).c_str()));
  }

  // What the server says about a file. Where it leads elsewhere, and says what is there, that is
  // the answer.
  CURLcode ask(std::string url, Answer& answer) {
    bool own_server = true;
    for (int hop = 0; hop < 5; ++hop) {
      prepare(url, own_server);
      answer = {};
      curl_easy_setopt(curl_.get(), CURLOPT_NOBODY, 1L);
      curl_easy_setopt(curl_.get(), CURLOPT_HEADERDATA, &answer);
      curl_easy_setopt(curl_.get(), CURLOPT_HEADERFUNCTION, take_header);
      if (const CURLcode result = curl_easy_perform(curl_.get())) return result;
      answer.status = status();
      if (answer.status / 100 != 3 || answer.linked) return CURLE_OK;
      const char* next = nullptr;
      curl_easy_getinfo(curl_.get(), CURLINFO_REDIRECT_URL, &next);
      if (!next || (url.starts_with("https:") && !std::string_view(next).starts_with("https:")))
        return CURLE_UNSUPPORTED_PROTOCOL;
      own_server = own_server && answer.location.starts_with('/') && !answer.location.starts_with("//");
      url = std::string(next);
    }
    return CURLE_TOO_MANY_REDIRECTS;
  }

  CURLcode receive(const std::string& url, Receiver& to) {
    prepare(url, true);
    to.curl = curl_.get();
    const std::string range = text(to.from, "-");
    if (to.from > 0) curl_easy_setopt(curl_.get(), CURLOPT_RANGE, range.c_str());
    curl_easy_setopt(curl_.get(), CURLOPT_FOLLOWLOCATION, 1L);
    curl_easy_setopt(curl_.get(), CURLOPT_MAXREDIRS, 5L);
    curl_easy_setopt(curl_.get(), CURLOPT_HEADERDATA, &to.answer);
    curl_easy_setopt(curl_.get(), CURLOPT_HEADERFUNCTION, take_header);
    curl_easy_setopt(curl_.get(), CURLOPT_WRITEDATA, &to);
    curl_easy_setopt(
        curl_.get(), CURLOPT_WRITEFUNCTION, +[](char* bytes, size_t size, size_t count, void* out) {
          return static_cast<Receiver*>(out)->take(bytes, size * count);
        });
    return curl_easy_perform(curl_.get());
  }

  long status() const {
    long status = 0;
    curl_easy_getinfo(curl_.get(), CURLINFO_RESPONSE_CODE, &status);
    return status;
  }

 private:
  void prepare(const std::string& url, bool with_token) {
    curl_easy_reset(curl_.get());
    const auto set = [&](CURLoption option, auto value) { curl_easy_setopt(curl_.get(), option, value); };
    set(CURLOPT_URL, url.c_str());
    set(CURLOPT_USERAGENT, "cambium");
    if (with_token) set(CURLOPT_HTTPHEADER, headers_.get());  // libcurl keeps it from other hosts
    set(CURLOPT_NOSIGNAL, 1L);
    set(CURLOPT_CONNECTTIMEOUT, 30L);
    set(CURLOPT_LOW_SPEED_LIMIT, 1L);
    set(CURLOPT_LOW_SPEED_TIME, 60L);
    const bool secure = url.starts_with("https:");
#if LIBCURL_VERSION_NUM >= 0x075500
    set(CURLOPT_PROTOCOLS_STR, "http,https");
    set(CURLOPT_REDIR_PROTOCOLS_STR, secure ? "https" : "http,https");
#else
    set(CURLOPT_PROTOCOLS, long(CURLPROTO_HTTP | CURLPROTO_HTTPS));
    set(CURLOPT_REDIR_PROTOCOLS, long(secure ? CURLPROTO_HTTPS : CURLPROTO_HTTP | CURLPROTO_HTTPS));
#endif
  }

  std::unique_ptr<CURL, void (*)(CURL*)> curl_;
  struct FreeList {
    void operator()(curl_slist* list) const { curl_slist_free_all(list); }
  };
  std::unique_ptr<curl_slist, FreeList> headers_;
};

class HubModel {
 public:
  HubModel(const std::string& name, double patience) : name_(name), place_(name), patience_(patience) {
    endpoint_ = environment("HF_ENDPOINT").value_or("https://huggingface.co");
    while (endpoint_.ends_with('/')) endpoint_.pop_back();
    check_input(endpoint_.starts_with("https://") || endpoint_.starts_with("http://"), "HF_ENDPOINT is \"", endpoint_,
                "\"; expected http://... or https://...");
  }

  std::string fetch() {
    if (is_directory(place_.target)) {
      const auto has = [&](const char* file) { return file_exists(place_.target + "/" + file); };
      check_input(has("config.json") && (has("model.safetensors") || has("model.safetensors.index.json")),
                  place_.target, " is there, but holds no whole model (config.json and model.safetensors)\n",
                  "Remove it, and the same command fetches it");
      remove_path(parts());  // of a run that was killed at its end
      return place_.target;
    }
    make_directories(files());
    make_directories(parts());
    check_input(get("config.json"), name_, ": the hub at ", endpoint_, " has no such model: no config.json");
    parse_json_file(files() + "/config.json");
    for (const char* file : {"generation_config.json", "tokenizer.json", "tokenizer_config.json",
                             "special_tokens_map.json", "added_tokens.json", "vocab.json", "merges.txt", "vocab.txt",
                             "spiece.model", "tokenizer.model", "sentencepiece.bpe.model"})
      get(file);
    if (!get("model.safetensors")) get_shards();
    for (const std::string& file : list_directory(files()))
      if (!wanted_.contains(file)) remove_path(files() + "/" + file);  // of an older version
    place_.finish(files());
    remove_path(parts());
    return place_.target;
  }

 private:
  std::string files() const { return place_.work + "/files"; }
  std::string parts() const { return place_.work + "/parts"; }
  std::string url(const std::string& file) const {
    return endpoint_ + "/" + name_ + "/resolve/" + revision_ + "/" + file;
  }

  void get_shards() {
    const std::string index = "model.safetensors.index.json";
    check_input(get(index), name_, ": has no model.safetensors, nor an index of shards\n",
                "weights as pytorch_model.bin are not read: reading one runs code; convert them to "
                "safetensors");
    const auto json = parse_json_file(files() + "/" + index);
    std::set<std::string> shards;
    reading(index, [&] {
      const auto& map = get_object(json, "weight_map");
      for (const auto& [tensor, _] : map.items()) shards.insert(get_string(map, tensor));
    });
    for (const std::string& shard : shards) {
      const bool plain = shard.find('/') == shard.npos && shard.ends_with(".safetensors") && !shard.starts_with('.');
      check_input(plain, name_, ": ", index, " names the shard \"", shard.substr(0, 100),
                  "\", which is no plain file name");
      check_input(get(shard), name_, ": the shard ", shard, " is not there");
    }
  }

  // False if the hub has no such file.
  bool get(const std::string& file) {
    const Answer answer = ask(file);
    if (answer.status == 404) return false;
    if (!answer.commit.empty()) revision_ = answer.commit;  // all files of one state of the repository
    check_input(answer.size <= largest(file, true), file, ": of ", answer.size, " bytes; at most ", largest(file, true),
                " are fetched");
    wanted_.insert(file);
    const std::string path = files() + "/" + file, version = parts() + "/" + file + ".version";
    const bool same = file_exists(version) && !answer.tag.empty() && read_text_file(version, 10000) == answer.version();
    if (same && file_exists(path)) return true;
    remove_path(path);
    if (!same) remove_path(parts() + "/" + file);
    write_file(version, answer.version());
    receive(file, answer);
    CHECK(std::rename((parts() + "/" + file).c_str(), path.c_str()) == 0, path,
          ": cannot be created: ", system_reason(errno));
    return true;
  }

  Answer ask(const std::string& file) {
    Answer answer;
    for (int attempt = 1;; ++attempt) {
      const CURLcode result = http_.ask(url(file), answer);
      if (result == CURLE_OK && answer.status < 500 && answer.status != 429) break;
      const std::string reason = result ? curl_easy_strerror(result) : text("HTTP status ", answer.status);
      check_input(attempt < kQuestions, name_, ": ", endpoint_, " cannot be reached: ", reason, "\n", by_hand());
      wait(attempt);
    }
    check_input(answer.status != 401 && answer.status != 403, name_, ": the hub refuses (HTTP status ", answer.status,
                "): the model does not exist, or is private or gated\n",
                "then accept its licence on the hub, and set the variable HF_TOKEN to your access token");
    const bool good = answer.status / 100 == 2 || answer.status / 100 == 3 || answer.status == 404;
    check_input(good, name_, ": ", file, ": HTTP status ", answer.status);
    return answer;
  }

  std::string by_hand() const {
    return text(
        "without network: copy the model's config.json, model.safetensors and tokenizer files "
        "into\n",
        place_.target);
  }

  void wait(int attempt) const {
    std::this_thread::sleep_for(std::chrono::duration<double>(patience_ * (1 << (attempt - 1))));
  }

  // Completes parts/FILE.
  void receive(const std::string& file, const Answer& answer) {
    const std::string path = parts() + "/" + file;
    const Descriptor fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666));
    CHECK(fd, path, ": cannot be written: ", system_reason(errno));
    Progress progress(name_ + "/" + file, std::max<int64_t>(answer.size, 0), Progress::Unit::bytes);
    int64_t have = answer.size < 0 ? 0 : std::min(size_of_file(fd, path), answer.size);
    progress.update(have);
    for (int attempt = 1; have != answer.size; ++attempt) {
      Receiver to{
          .fd = fd.get(), .from = have, .size = answer.size, .most = largest(file, false), .progress = progress};
      const CURLcode result = http_.receive(url(file), to);
      const long status = http_.status();
      CHECK(to.error == 0, path, ": cannot be written: ", system_reason(to.error));
      if (to.at > have) attempt = 1;  // it goes on
      have = to.at;
      if (result == CURLE_OK && status / 100 == 2 && (answer.size < 0 || have == answer.size)) break;
      const std::string reason = to.too_long && answer.size < 0
                                     ? text("the server does not say how long it is; at most ", to.most, " are taken")
                                 : to.too_long   ? "it is longer than announced"
                                 : status >= 400 ? text("HTTP status ", status)
                                                 : curl_easy_strerror(result);
      CHECK(attempt < kAttempts && !to.too_long, name_, ": ", file, ": the download stopped after ", have, " of ",
            answer.size < 0 ? "unknown" : std::to_string(answer.size), " bytes: ", reason, "\nrun it again to go on");
      wait(attempt);
    }
    const bool written = ::ftruncate(fd.get(), have) == 0 && ::fsync(fd.get()) == 0;
    CHECK(written, path, ": cannot be written: ", system_reason(errno));
    if (answer.tag.size() == 64) check_sum(path, file, answer.tag);
  }

  void check_sum(const std::string& path, const std::string& file, const std::string& expected) {
    try {
      check_sha256(path, lower(expected), name_ + "/" + file + ": checking");
    } catch (const InputError&) {
      remove_path(path);  // so that the next run starts over
      throw;
    }
  }

  std::string name_;
  FetchPlace place_;
  double patience_;
  std::string endpoint_, revision_ = "main";
  std::set<std::string> wanted_;
  Http http_;
};

}  // namespace

std::string fetch_hub_model(const std::string& owner_and_name, double patience) {
  check_input(is_hub_name(owner_and_name), '"', owner_and_name, "\" is no OWNER/NAME of the hub");
  return HubModel(owner_and_name, patience).fetch();
}

}  // namespace cambium
