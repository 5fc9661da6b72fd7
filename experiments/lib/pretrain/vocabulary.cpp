// Learning a vocabulary with the SentencePiece library.
#include <sentencepiece_trainer.h>

#include <algorithm>
#include <string>
#include <unordered_map>

#include "core/csv.h"
#include "core/files.h"
#include "core/progress.h"
#include "core/sha256.h"
#include "experiments/lib/pretrain/pretrain.h"

namespace cambium {

std::string learned_vocabulary(const std::vector<std::string>& texts, int64_t pieces, const std::string& folder) {
  check_input(pieces >= 64 && pieces <= 1'000'000, "--vocabulary ", pieces, ": give 64 to 1000000 pieces");
  const TemporaryDirectory work;
  std::string all;
  constexpr size_t kEnough = size_t(64) << 20;  // more text makes no better pieces
  for (const std::string& path : texts) {
    if (all.size() >= kEnough) break;
    std::string contents = read_data_file(path, int64_t(8) << 30);
    if (contents.starts_with("\xef\xbb\xbf")) contents.erase(0, 3);
    std::erase(contents, '\r');
    all += contents.substr(0, kEnough - all.size()) + "\n";
  }
  Sha256 sum;
  sum.update(all);
  const std::string directory = text(folder, "/vocabulary-", pieces, ".", hex(sum.finish()).substr(0, 16));
  if (file_exists(directory + "/spiece.model")) return directory;
  write_file(work / "text", all);
  Progress::say(
      text("learning a vocabulary of ", pieces, " pieces from ", print_bytes(int64_t(all.size())), " of text"));
  // T5's special tokens; one thread, so that the same text gives the same pieces.
  const auto status = sentencepiece::SentencePieceTrainer::Train(
      std::unordered_map<std::string, std::string>{{"input", work / "text"},
                                                   {"model_prefix", work / "spiece"},
                                                   {"vocab_size", std::to_string(pieces)},
                                                   {"model_type", "unigram"},
                                                   {"pad_id", "0"},
                                                   {"eos_id", "1"},
                                                   {"unk_id", "2"},
                                                   {"bos_id", "-1"},
                                                   {"num_threads", "1"},
                                                   {"minloglevel", "2"},
                                                   {"input_sentence_size", "200000"},
                                                   {"shuffle_input_sentence", "false"}});
  check_input(status.ok(), "a vocabulary of ", pieces,
              " pieces cannot be learned from these texts: ", status.ToString());
  make_directories(directory);
  write_file(directory + "/tokenizer_config.json",
             "{\"tokenizer_class\": \"T5Tokenizer\", \"extra_ids\": 100, \"eos_token\": \"</s>\", \"unk_token\": "
             "\"<unk>\", \"pad_token\": \"<pad>\"}\n");
  write_file(directory + "/spiece.model", read_text_file(work / "spiece.model"));
  return directory;
}

}  // namespace cambium
