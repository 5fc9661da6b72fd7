// The textbook dynamic programme, by rows or with the whole table.
#include "experiments/lib/metrics/lcs.h"

#include <algorithm>

#include "core/error.h"

namespace cambium::metrics {

size_t lcs_length(const Tokens& a, const Tokens& b) {
  const Tokens& longer = a.size() < b.size() ? b : a;
  const Tokens& shorter = a.size() < b.size() ? a : b;
  check_input(shorter.empty() || longer.size() < (size_t(1) << 33) / shorter.size(), "ROUGE-L: texts of ", a.size(),
              " and ", b.size(),
              " words are too long to be compared");  // ten seconds
  std::vector<size_t> row(shorter.size() + 1, 0);
  for (const int word : longer) {
    size_t diagonal = 0;  // the row above, one to the left
    for (size_t j = 1; j <= shorter.size(); ++j) {
      const size_t above = row[j];
      row[j] = shorter[j - 1] == word ? diagonal + 1 : std::max(above, row[j - 1]);
      diagonal = above;
    }
  }
  return row.back();
}

std::vector<size_t> lcs_positions(const Tokens& reference, const Tokens& output) {
  const size_t columns = output.size() + 1, cells = (reference.size() + 1) * columns;
  check_input(cells < (size_t(1) << 28), "ROUGE-Lsum: sentences of ", reference.size(), " and ", output.size(),
              " words are too long; put line breaks between sentences");
  std::vector<uint32_t> table(cells, 0);
  for (size_t i = 1; i <= reference.size(); ++i)
    for (size_t j = 1; j < columns; ++j)
      table[i * columns + j] = reference[i - 1] == output[j - 1]
                                   ? table[(i - 1) * columns + j - 1] + 1
                                   : std::max(table[(i - 1) * columns + j], table[i * columns + j - 1]);
  std::vector<size_t> positions;
  for (size_t i = reference.size(), j = output.size(); i > 0 && j > 0;) {
    if (reference[i - 1] == output[j - 1]) {
      positions.push_back(--i);
      --j;
    } else if (table[i * columns + j - 1] > table[(i - 1) * columns + j]) {
      --j;
    } else {
      --i;
    }
  }
  std::reverse(positions.begin(), positions.end());
  return positions;
}

}  // namespace cambium::metrics
