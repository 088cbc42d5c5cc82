# A floor: a folder of src that sees itself and the floors below, and nothing else.
#
# Its files are included by the floor's name, "base/list.h". So that an upward include does not compile, src is on no
# search path: each floor has a root of its own in the build tree which holds one thing, a link to its folder, and a
# floor is given its own root and those below it.
#
#   databuffer_floor(store BELOW base port SOURCES memory.c file.c)

# The folder's root under its name; what is given it may include "<name>/...".
function(databuffer_root name)
  set(root ${PROJECT_BINARY_DIR}/floors/${name})
  file(MAKE_DIRECTORY ${root})
  file(CREATE_LINK ${CMAKE_CURRENT_SOURCE_DIR} ${root}/${name} SYMBOLIC)
endfunction()

# Gives a target the public headers and the roots of the floors named.
function(databuffer_sees target)
  target_include_directories(${target} PRIVATE ${PROJECT_SOURCE_DIR}/include)
  foreach(floor IN LISTS ARGN)
    target_include_directories(${target} PRIVATE ${PROJECT_BINARY_DIR}/floors/${floor})
  endforeach()
endfunction()

function(databuffer_floor name)
  cmake_parse_arguments(PARSE_ARGV 1 floor "" "" "BELOW;SOURCES")
  databuffer_root(${name})
  add_library(databuffer_${name} OBJECT ${floor_SOURCES})
  databuffer_sees(databuffer_${name} ${name} ${floor_BELOW})
  target_compile_definitions(databuffer_${name} PRIVATE _GNU_SOURCE)
  if(DATABUFFER_DEBUG)
    target_compile_definitions(databuffer_${name} PRIVATE DATABUFFER_DEBUG=1)
  endif()
  if(DATABUFFER_STEPS)
    target_compile_definitions(databuffer_${name} PRIVATE DATABUFFER_STEPS=1)
  endif()
  target_link_libraries(databuffer_${name} PRIVATE Threads::Threads)
endfunction()
