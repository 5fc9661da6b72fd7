# The GPU side: by nvcc, or on the host through cuda/simt.h. The same kernels; what talks to CUDA's libraries
# (runtime, matmul) has a twin named simt* for builds without them.

if(CAMBIUM_GPU STREQUAL "nvcc")
  if(NOT CMAKE_CUDA_COMPILER AND NOT DEFINED ENV{CUDACXX} AND EXISTS /usr/local/cuda/bin/nvcc)
    set(CMAKE_CUDA_COMPILER /usr/local/cuda/bin/nvcc)
  endif()
  if(NOT CMAKE_CUDA_ARCHITECTURES)
    # Machine code for A100 and H100; PTX for later ones.
    set(CMAKE_CUDA_ARCHITECTURES 80-real 90-real 90-virtual CACHE STRING "GPU architectures")
  endif()
  enable_language(CUDA)
  find_package(CUDAToolkit 12.4 REQUIRED)
  if(NOT CMAKE_CUDA20_STANDARD_COMPILE_OPTION)  # older CMake does not know nvcc's flag for C++20
    set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION "-std=c++20")
  endif()
  set(CMAKE_CUDA_STANDARD 20)
  set(CMAKE_CUDA_EXTENSIONS OFF)
  set(CMAKE_CUDA_FLAGS_RELEASE "-O2 -DNDEBUG")
elseif(NOT CAMBIUM_GPU STREQUAL "simt")
  message(FATAL_ERROR "CAMBIUM_GPU=${CAMBIUM_GPU}: nvcc or simt")
endif()

function(cambium_gpu_sources out)
  file(GLOB kernels CONFIGURE_DEPENDS cuda/*.cu)
  file(GLOB hosts CONFIGURE_DEPENDS cuda/*.cpp)
  if(CAMBIUM_GPU STREQUAL "simt")
    list(FILTER hosts EXCLUDE REGEX "/(runtime|matmul)[.]cpp$")
    set_source_files_properties(${kernels} PROPERTIES LANGUAGE CXX COMPILE_OPTIONS "-xc++")
  else()
    list(FILTER kernels EXCLUDE REGEX "/simt[a-z_]*[.]cu$")
    list(FILTER hosts EXCLUDE REGEX "/simt[a-z_]*[.]cpp$")
  endif()
  set(${out} ${kernels} ${hosts} PARENT_SCOPE)
endfunction()

function(cambium_gpu_link target)
  if(CAMBIUM_GPU STREQUAL "nvcc")
    # constexpr functions of core/ (bfloat16, philox) run in kernels as they are.
    target_compile_options(${target} PRIVATE
      $<$<COMPILE_LANGUAGE:CUDA>:--expt-relaxed-constexpr --threads=0 -Xcompiler=-Wall,-Wextra,-Wno-unknown-pragmas,-Wno-missing-field-initializers>)
    if(CMAKE_CUDA_RUNTIME_LIBRARY STREQUAL "Shared")
      target_link_libraries(${target} PRIVATE CUDA::cudart CUDA::cublasLt)
    else()
      target_link_libraries(${target} PRIVATE CUDA::cudart_static CUDA::cublasLt)
    endif()
  endif()
endfunction()
