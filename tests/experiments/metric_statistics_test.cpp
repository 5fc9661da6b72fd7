// Intervals and tests: against scipy where it has them, else against enumeration by hand.
#include "experiments/lib/statistics.h"

#include <gtest/gtest.h>

#include <cmath>

#include "tests/experiments/metric_goldens.h"
#include "tests/support/files.h"

namespace cambium {
namespace {

using metrics::StatisticsTable;

TEST(MetricStatistics, StudentsDistributionIsScipys) {
  for (const auto& golden : testing::goldens()["numbers"]["students"])
    EXPECT_NEAR(student_within(golden[0], golden[1].get<int64_t>()), golden[2].get<double>(), 1e-12) << golden.dump();
}

TEST(MetricStatistics, QuantilesOfStudentsDistributionAreScipys) {
  for (const auto& [share, degrees, t] : {std::tuple{0.95, 1, 12.706204736174694},
                                          {0.95, 4, 2.7764451051977934},
                                          {0.6, 4, 0.9409645775788747},
                                          {0.95, 100, 1.9839715185235518}})
    EXPECT_NEAR(student_quantile(share, degrees), t, 1e-9);
}

TEST(MetricStatistics, SpreadIsOfTheSample) {
  const Spread s = spread(testing::goldens()["numbers"]["values"].get<std::vector<double>>());
  EXPECT_NEAR(s.deviation, 0.023874672772626667, 1e-15);
  const Spread one = spread(std::vector<double>{0.5});
  EXPECT_EQ(one.mean, 0.5);
  EXPECT_TRUE(std::isnan(one.deviation));
}

TEST(MetricStatistics, QuantilesLieBetweenTheirNeighbours) {
  EXPECT_EQ(quantile({3, 1, 2}, 0.5), 2);
  EXPECT_EQ(quantile({4, 1, 3, 2}, 0.5), 2.5);  // the median of an even count
  EXPECT_EQ(quantile({4, 1, 3, 2}, 0), 1);
  EXPECT_EQ(quantile({4, 1, 3, 2}, 1), 4);
  EXPECT_EQ(quantile({7}, 0.3), 7);
}

TEST(MetricStatistics, HolmStepsDown) {
  const std::vector<double> p = {0.01, 0.04, 0.03, 0.005};
  const std::vector<double> expected = {0.03, 0.06, 0.06, 0.02};
  const std::vector<double> adjusted = holm(p);
  for (size_t i = 0; i < p.size(); ++i) EXPECT_NEAR(adjusted[i], expected[i], 1e-15);
  EXPECT_EQ(holm(std::vector<double>{0.9, 0.8}), (std::vector<double>{1, 1}));
  EXPECT_TRUE(holm({}).empty());
}

}  // namespace
}  // namespace cambium
