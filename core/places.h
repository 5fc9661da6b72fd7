// Places in the file system that others may have prepared, or that long work will write to: asked before, not after.
#pragma once

#include <functional>
#include <string>

namespace cambium {

// Throws unless a file of this name can be written, as AtomicFile (core/files.h) would.
void check_writable(const std::string& path);
// Throws InputError unless a directory can be made there, or is there and empty.
void check_new_directory(const std::string& path);
// Throws InputError unless a directory for --output can be made, or is there and empty or, if it `may_hold_files`, not.
void check_output_directory(const std::string& path, bool may_hold_files);

// What an output may be that is FILE.h5 or else a new directory: one of these two checks.
void check_file_or_directory(const std::string& path);
// Makes a new directory, or fills an empty one: `fill` is given one beside it, which takes its place when it is done, so
// that a directory that is there is whole. Throws InputError as check_new_directory does.
void make_whole_directory(const std::string& path, const std::function<void(const std::string& inside)>& fill);

// Whether nobody but this user (and root) can have written there: it is theirs, and others may not write to it.
bool is_private(const std::string& path);

// The text of a file in a directory, to be copied elsewhere. A symbolic link that leads out of the directory, but for
// the "blobs" of the hub's cache, is an InputError: whoever made the directory could have any file of ours copied.
std::string read_inside(const std::string& directory, const std::string& name);

}  // namespace cambium
