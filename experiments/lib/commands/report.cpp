// report: everything that tables finished, as one site.
#include <iostream>

#include "experiments/lib/commands/commands.h"
#include "experiments/lib/table/site.h"

namespace cambium {

int run_report(const CommonOptions&, const ReportOptions& options) {
  const std::string site = options.output.empty() ? options.results + "/site" : options.output;
  const int64_t pages = write_site(options.results, site);
  std::cout << site << "/index.html: " << pages << (pages == 1 ? " table" : " tables") << std::endl;
  return 0;
}

}  // namespace cambium
