// The calls of MPI that are used here, as a table of plain functions: lib/libcambium_mpi.so fills it. The program loads
// that library only where an MPI launcher started it, so that it runs without MPI everywhere else.
#pragma once

#include <cstddef>

namespace cambium {

struct MpiTable {
  // Joins the others. Returns 0, or an error of MPI.
  int (*start)(int* rank, int* size);
  const char* (*version)();
  // Begins to send and to receive; which request it is comes back. Counts are at most 1 GiB.
  int (*send)(const void* bytes, size_t count, int to, int* request);
  int (*receive)(void* bytes, size_t count, int from, int* request);
  // Whether a request is done, which ends it. Does not wait.
  int (*test)(int request, int* done);
  // What an error means, in buffer.
  void (*explain)(int error, char* buffer, size_t size);
  int (*finish)();
};

}  // namespace cambium

// The library's one name.
extern "C" const cambium::MpiTable* cambium_mpi_table();
