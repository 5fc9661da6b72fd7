// Reading a split's rows from the task's files, whatever their format.
#pragma once

#include <functional>

#include "experiments/lib/tasks/record.h"

namespace cambium {

// The rows of a split in the order of the files, prepared, and without those that the record leaves out. `folder` holds
// the files, each of which may be packed by xz. InputError: no such split, no such file (with where to get it), damaged
// files (with their place), a split without rows.
std::vector<DataRow> read_rows(const TaskRecord&, const std::string& folder, Split);

// The fields that rows of a format have by themselves, besides its columns.
std::set<std::string> fields_of_format(const std::string& format);

// The file, or where it does not exist and path.xz does, that.
std::string plain_or_packed(const std::string& path);

using RowSink = std::function<void(DataRow)>;
// One reader a format, in files of their own; `path` exists.
void read_json_rows(const TaskFile&, const std::string& path, const RowSink&);
// WebNLG's challenge of 2017: a file of entries, or a folder of such. (Gardent et al. 2017) Rows: triples, category,
// lex, good (the lexicalisations whose comment is "good").
void read_webnlg_rows(const std::string& path, const RowSink&);
// Made up: lists of words, some of which tell the class. No file is read, and scores on them mean nothing.
void make_synthetic_rows(const std::string& task, Split, const RowSink&);

}  // namespace cambium
