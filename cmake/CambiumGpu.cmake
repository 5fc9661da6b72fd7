# The GPU side: by nvcc, or on the host through cuda/simt.h.

function(cambium_gpu_sources out)
  file(GLOB kernels CONFIGURE_DEPENDS cuda/*.cu)
  file(GLOB hosts CONFIGURE_DEPENDS cuda/*.cpp)
  if(CAMBIUM_GPU STREQUAL "simt")
    set_source_files_properties(${kernels} PROPERTIES LANGUAGE CXX COMPILE_OPTIONS "-xc++")
  endif()
  set(${out} ${kernels} ${hosts} PARENT_SCOPE)
endfunction()

function(cambium_gpu_link target)
endfunction()
