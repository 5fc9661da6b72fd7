// The scores of a task's answers, by all of its metrics.
#pragma once

#include <span>

#include "experiments/lib/metrics/metric.h"
#include "experiments/lib/tasks/task.h"

namespace cambium {

// Of texts and numbers: outputs against references.
metrics::Scores scores_of_texts(const Task&, const metrics::References&, const metrics::Outputs&);

// Of classes, by their numbers: the positive class of F1 is the second of two, whatever they are called. Rows of one
// group answer one question where a metric asks for that (multirc).
metrics::Scores scores_of_classes(const Task&, std::span<const LabelledRow> rows, std::span<const int> chosen);

}  // namespace cambium
