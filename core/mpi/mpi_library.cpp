// lib/libcambium_mpi.so: MPI behind the table. The only file that includes MPI's header.
#define OMPI_SKIP_MPICXX 1  // C alone
#define MPICH_SKIP_MPICXX 1
#include <mpi.h>

#include <cstdio>
#include <vector>

#include "core/mpi/mpi_table.h"

namespace cambium {
namespace {

std::vector<MPI_Request> requests;  // one thread alone calls

int remembered(int error, MPI_Request request, int* number) {
  if (error != MPI_SUCCESS) return error;
  size_t place = 0;
  while (place < requests.size() && requests[place] != MPI_REQUEST_NULL) ++place;
  if (place == requests.size()) requests.push_back(request);
  requests[place] = request;
  *number = int(place);
  return 0;
}

int start(int* rank, int* size) {
  int given = 0;
  int error = MPI_Init_thread(nullptr, nullptr, MPI_THREAD_FUNNELED, &given);
  if (error == MPI_SUCCESS) error = MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
  if (error == MPI_SUCCESS) error = MPI_Comm_rank(MPI_COMM_WORLD, rank);
  return error != MPI_SUCCESS ? error : MPI_Comm_size(MPI_COMM_WORLD, size);
}

const char* version() {
#ifdef OMPI_MAJOR_VERSION
  static char text[64];
  std::snprintf(text, sizeof text, "Open MPI %d.%d.%d", OMPI_MAJOR_VERSION, OMPI_MINOR_VERSION, OMPI_RELEASE_VERSION);
  return text;
#else
  return "MPI";
#endif
}

int send(const void* bytes, size_t count, int to, int* request) {
  MPI_Request own = MPI_REQUEST_NULL;
  const int error = MPI_Isend(bytes, int(count), MPI_BYTE, to, 0, MPI_COMM_WORLD, &own);
  return remembered(error, own, request);
}

int receive(void* bytes, size_t count, int from, int* request) {
  MPI_Request own = MPI_REQUEST_NULL;
  const int error = MPI_Irecv(bytes, int(count), MPI_BYTE, from, 0, MPI_COMM_WORLD, &own);
  return remembered(error, own, request);
}

int test(int request, int* done) { return MPI_Test(&requests[size_t(request)], done, MPI_STATUS_IGNORE); }

void explain(int error, char* buffer, size_t size) {
  char text[MPI_MAX_ERROR_STRING] = "";
  int length = 0;
  MPI_Error_string(error, text, &length);
  std::snprintf(buffer, size, "%s", text);
}

int finish() { return MPI_Finalize(); }

}  // namespace
}  // namespace cambium

extern "C" const cambium::MpiTable* cambium_mpi_table() {
  static const cambium::MpiTable table = {cambium::start, cambium::version, cambium::send,  cambium::receive,
                                          cambium::test,  cambium::explain, cambium::finish};
  return &table;
}
