# How the folders become libraries and programs.

find_package(Threads REQUIRED)
find_package(HDF5 REQUIRED COMPONENTS C)
find_package(PkgConfig REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(LibLZMA REQUIRED)
pkg_check_modules(PCRE2 REQUIRED IMPORTED_TARGET libpcre2-8)
pkg_check_modules(CURL REQUIRED IMPORTED_TARGET libcurl)
pkg_check_modules(CRYPTO REQUIRED IMPORTED_TARGET libcrypto)
pkg_check_modules(ZIP REQUIRED IMPORTED_TARGET libzip)
pkg_check_modules(ICU REQUIRED IMPORTED_TARGET icu-uc)
find_library(STEMMER_LIBRARY stemmer REQUIRED)  # Snowball
find_library(SENTENCEPIECE_LIBRARY sentencepiece REQUIRED)
find_library(SENTENCEPIECE_TRAINER_LIBRARY sentencepiece_train REQUIRED)

add_library(cambium_flags INTERFACE)
target_include_directories(cambium_flags INTERFACE ${CMAKE_SOURCE_DIR})
# Sums keep their written order everywhere: no contraction, no reassociation.
target_compile_options(cambium_flags INTERFACE
  $<$<COMPILE_LANGUAGE:CXX>:-Wall -Wextra -Wno-unknown-pragmas -Wno-missing-field-initializers -ffp-contract=off -fvisibility-inlines-hidden>)
if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(aarch64|arm64)$")  # char is signed, as on x86-64: texts are read alike
  target_compile_options(cambium_flags INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-fsigned-char>)
endif()
if(CAMBIUM_FUZZ)
  if(NOT CMAKE_CXX_COMPILER_ID MATCHES "Clang" OR CMAKE_CXX_COMPILER_VERSION VERSION_LESS 16)
    message(FATAL_ERROR "CAMBIUM_FUZZ needs clang 16 or later: -DCMAKE_C_COMPILER=clang-16 -DCMAKE_CXX_COMPILER=clang++-16")
  endif()
  target_compile_options(cambium_flags INTERFACE -fsanitize=fuzzer-no-link)
endif()
if(CAMBIUM_SANITIZE OR CAMBIUM_FUZZ)
  target_compile_options(cambium_flags INTERFACE -fsanitize=address,undefined -fno-sanitize-recover=undefined -g)
  target_link_options(cambium_flags INTERFACE -fsanitize=address,undefined)
endif()

# The CPU kernels are plain loops that the compiler turns into vector code. They are compiled once for each
# level of the x86-64 psABI, and the system's loader picks the best library the machine can run
# (glibc-hwcaps, see ld.so(8)): one build that runs everywhere and is fast on AVX-512. On Arm there is one level.
if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|amd64|AMD64)$")
  set(CAMBIUM_LEVELS x86-64-v3 x86-64-v4)
endif()
function(cambium_cpu_kernels folder)
  file(GLOB sources CONFIGURE_DEPENDS ${folder}/*.cpp)
  set_source_files_properties(${folder}/small_matmul.cpp ${folder}/gemm_float.cpp ${folder}/peak.cpp PROPERTIES COMPILE_OPTIONS -ffp-contract=fast)
  if(CAMBIUM_FUZZ)  # clang 16's optimiser does not survive this file, and fuzzing never calls it
    set_source_files_properties(${folder}/gemm_avx512_bf16.cpp PROPERTIES COMPILE_OPTIONS -O0)
  endif()
  foreach(level IN ITEMS "" ${CAMBIUM_LEVELS})
    set(name cambium_cpu${level})
    add_library(${name} SHARED ${sources})
    target_link_libraries(${name} PRIVATE cambium_flags)
    target_compile_options(${name} PRIVATE -O3 -fno-math-errno -fno-trapping-math -Wno-psabi)
    set_target_properties(${name} PROPERTIES OUTPUT_NAME cambium_cpu)
    if(level)
      target_compile_options(${name} PRIVATE -march=${level} -mprefer-vector-width=512)
      set_target_properties(${name} PROPERTIES
        LIBRARY_OUTPUT_DIRECTORY ${CMAKE_LIBRARY_OUTPUT_DIRECTORY}/glibc-hwcaps/${level})
    endif()
  endforeach()
endfunction()

function(cambium_library)
  file(GLOB sources CONFIGURE_DEPENDS core/*.cpp core/workers/*.cpp autograd/*.cpp models/*.cpp models/*/*.cpp tuning/*.cpp tuning/*/*.cpp
       experiments/lib/*.cpp experiments/lib/*/*.cpp)
  cambium_gpu_sources(gpu_sources)
  add_library(cambium SHARED ${sources} ${gpu_sources})
  foreach(level IN LISTS CAMBIUM_LEVELS)
    add_dependencies(cambium cambium_cpu${level})
  endforeach()
  set_target_properties(cambium PROPERTIES UNITY_BUILD ${CAMBIUM_UNITY} UNITY_BUILD_BATCH_SIZE 8)
  target_link_libraries(cambium PUBLIC cambium_flags cambium_cpu PRIVATE Threads::Threads
    nlohmann_json::nlohmann_json LibLZMA::LibLZMA PkgConfig::PCRE2 PkgConfig::CURL PkgConfig::CRYPTO PkgConfig::ICU PkgConfig::ZIP
    ${STEMMER_LIBRARY} ${SENTENCEPIECE_TRAINER_LIBRARY} ${SENTENCEPIECE_LIBRARY} ${HDF5_C_LIBRARIES} ${CMAKE_DL_LIBS})
  target_include_directories(cambium PRIVATE ${HDF5_C_INCLUDE_DIRS})
  target_compile_definitions(cambium PRIVATE CAMBIUM_VERSION="${PROJECT_VERSION}")
  set_source_files_properties(experiments/lib/data_path.cpp PROPERTIES
    COMPILE_DEFINITIONS CAMBIUM_SOURCE_DATA="${CMAKE_SOURCE_DIR}/experiments/data")
  install(DIRECTORY experiments/data/ DESTINATION share/cambium)
  cambium_gpu_link(cambium)
endfunction()

# MPI is a library of its own, lib/libcambium_mpi.so, which is loaded where an MPI launcher started the program:
# nothing else needs MPI, neither to build nor to run.
function(cambium_mpi)
  if(NOT CAMBIUM_MPI)
    return()
  endif()
  find_package(MPI QUIET COMPONENTS C)
  if(NOT MPI_C_FOUND)
    message(STATUS "No MPI: built without it (package libopenmpi-dev)")
    return()
  endif()
  add_library(cambium_mpi SHARED core/mpi/mpi_library.cpp)
  target_link_libraries(cambium_mpi PRIVATE cambium_flags MPI::MPI_C)
  add_dependencies(cambium cambium_mpi)
endfunction()

# One program for each file directly in experiments/, in a paper's folder there, and in examples/; the target `programs` is
# all of them.
function(cambium_programs)
  file(GLOB mains CONFIGURE_DEPENDS experiments/*.cpp experiments/*/*.cpp examples/*.cpp)
  list(FILTER mains EXCLUDE REGEX "/experiments/lib/")
  add_custom_target(programs)
  foreach(main IN LISTS mains)
    get_filename_component(name ${main} NAME_WE)
    add_executable(program_${name} ${main})
    target_link_libraries(program_${name} PRIVATE cambium)
    add_dependencies(programs program_${name})
    set_target_properties(program_${name} PROPERTIES OUTPUT_NAME ${name} BUILD_RPATH "$ORIGIN/../lib" INSTALL_RPATH "$ORIGIN/../lib")
  endforeach()
endfunction()
