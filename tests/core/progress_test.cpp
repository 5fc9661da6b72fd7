// What the progress line says.
#include "core/progress.h"

#include <gtest/gtest.h>

namespace cambium::testing {
namespace {

TEST(Progress, Amounts) {
  EXPECT_EQ(print_bytes(0), "0 B");
  EXPECT_EQ(print_bytes(999), "999 B");
  EXPECT_EQ(print_bytes(1000), "1.0 kB");
  EXPECT_EQ(print_bytes(999'960), "1.0 MB");
  EXPECT_EQ(print_bytes(92'871'040), "92.9 MB");
  EXPECT_EQ(print_bytes(int64_t(1) << 62), "4.6 EB");
  EXPECT_EQ(print_duration(0), "0 s");
  EXPECT_EQ(print_duration(59.4), "59 s");
  EXPECT_EQ(print_duration(125), "2:05");
  EXPECT_EQ(print_duration(12300), "3:25:00");
  EXPECT_EQ(print_duration(1e300), "277777:46:40");
}

TEST(Progress, Lines) {
  ::testing::internal::CaptureStderr();  // no terminal
  {
    Progress p("load", 2'000'000, Progress::Unit::bytes);
    EXPECT_EQ(p.line(1), "load:   0% 0 B of 2.0 MB");
    p.update(0);
    p.update(500'000);
    EXPECT_EQ(p.line(2), "load:  25% 500.0 kB of 2.0 MB, 250.0 kB/s, 6 s left");
    p.note("loss 1.5");
    p.add(1'500'000);
    EXPECT_EQ(p.line(4), "load: 100% 2.0 MB of 2.0 MB, 500.0 kB/s, loss 1.5");
    p.update(3'000'000);
    EXPECT_EQ(p.line(0), "load: 100% 3.0 MB of 2.0 MB, loss 1.5");
  }
  {
    Progress resumed("steps", 100);
    resumed.update(50);  // what an earlier run did is no speed of this one
    resumed.update(60);
    EXPECT_EQ(resumed.line(4), "steps:  60% 60 of 100, 2.5/s, 16 s left");
    Progress unknown("lines", 0);
    unknown.update(0);
    unknown.update(30);
    EXPECT_EQ(unknown.line(2), "lines: 30, 15/s");
  }
  EXPECT_EQ(::testing::internal::GetCapturedStderr(), "");  // short work is silent
}

}  // namespace
}  // namespace cambium::testing
