// Curves for TensorBoard: one event file a run, of scalars.
//
// The format: records of length, data and checksums (TFRecord:
// tensorflow/core/lib/io/record_writer.h), the data protocol-buffer messages
// (tensorboard/compat/proto/event.proto, summary.proto).
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

#include "core/files.h"

namespace cambium {

class TensorBoardWriter {
 public:
  // A new file in the directory. A run that goes on after `done` steps passes them: TensorBoard
  // then drops what an earlier file of the directory says about later steps.
  explicit TensorBoardWriter(const std::string& directory, int64_t done = 0);

  // Values of one step, by tag ("train/loss"). They reach the file at once.
  void write(int64_t step, std::initializer_list<std::pair<std::string_view, double>> values);

 private:
  void record(const std::string& event);

  std::string path_;
  Descriptor fd_;
};

// The checksum of records: CRC-32C (Castagnoli), rotated and offset.
uint32_t masked_crc32c(std::string_view bytes);

}  // namespace cambium
