# How a test is added.
#
#   databuffer_test(core.segment FLOOR core SOURCES core/segment.c)
#       sees that floor and those below, and is linked with them
#   databuffer_test(api.insert PUBLIC SOURCES api/insert.c)
#       sees the public headers and is linked with the shared library, as a program of a user's is
#
# Both may say LABELS, TIMEOUT (seconds), LIBS (more libraries), ENVIRONMENT, and SERIAL (not beside other tests).
#
# A test of a kind that inserts runs twice. NAME.fence is the same once more with a fence at every insert, as on a
# system without membarrier (DATABUFFER_BARRIER=fence).
#
# The floors reach an internal test as archives: it links what it uses, and where it defines all that one file of a
# floor defines, its own stands in for that file, be it a simulated port.
#
# A test that cannot be made here says why and ends with 77: it is skipped.
#
#   databuffer_not_under(thread api.fork "a reason")
#       lists the test, by either barrier, as disabled in the builds of that sanitizer
include_guard(GLOBAL)

find_package(PkgConfig REQUIRED)
pkg_check_modules(cmocka REQUIRED IMPORTED_TARGET cmocka)

# At every exit ThreadSanitizer waits a second for what other threads may still do: a sixth of all its tests' time.
set(DATABUFFER_TEST_ENVIRONMENT
  ASAN_OPTIONS=detect_leaks=1:strict_string_checks=1:detect_stack_use_after_return=1
  UBSAN_OPTIONS=print_stacktrace=1
  TSAN_OPTIONS=halt_on_error=1:second_deadlock_stack=1:atexit_sleep_ms=50)

foreach(floor base port store core)
  add_library(databuffer_${floor}_archive STATIC EXCLUDE_FROM_ALL $<TARGET_OBJECTS:databuffer_${floor}>)
  set_target_properties(databuffer_${floor}_archive PROPERTIES LINKER_LANGUAGE C)
endforeach()

# In these kinds nothing is inserted; or, in sim, by either barrier as the seed has it.
set(DATABUFFER_TEST_ONCE base port store docs house model sim)
if(DATABUFFER_FUZZ)
  list(APPEND DATABUFFER_TEST_ONCE fuzz) # for the inputs that it makes, which it looks at by either when they are kept
endif()

# Registers a test of any kind with what all of them share.
function(databuffer_add_test name)
  cmake_parse_arguments(PARSE_ARGV 1 test "SERIAL" "TIMEOUT;WORKING_DIRECTORY" "COMMAND;LABELS;ENVIRONMENT")
  if(NOT test_TIMEOUT)
    set(test_TIMEOUT 300)
  endif()
  if(NOT test_WORKING_DIRECTORY)
    set(test_WORKING_DIRECTORY ${CMAKE_CURRENT_BINARY_DIR})
  endif()
  string(REGEX REPLACE "\\..*" "" kind ${name})
  set(labels ${kind} ${test_LABELS})
  set(environment ${DATABUFFER_TEST_ENVIRONMENT} ${test_ENVIRONMENT})
  set(names ${name})
  if(NOT kind IN_LIST DATABUFFER_TEST_ONCE)
    list(APPEND names ${name}.fence)
  endif()
  foreach(each IN LISTS names)
    add_test(NAME ${each} COMMAND ${test_COMMAND} WORKING_DIRECTORY ${test_WORKING_DIRECTORY})
    set_tests_properties(${each} PROPERTIES
      SKIP_RETURN_CODE 77 TIMEOUT ${test_TIMEOUT} LABELS "${labels}" ENVIRONMENT "${environment}" RUN_SERIAL ${test_SERIAL})
    if(each MATCHES "\\.fence$")
      set_property(TEST ${each} APPEND PROPERTY ENVIRONMENT DATABUFFER_BARRIER=fence)
    endif()
  endforeach()
endfunction()

function(databuffer_test name)
  cmake_parse_arguments(PARSE_ARGV 1 test "PUBLIC;SERIAL" "FLOOR;TIMEOUT" "SOURCES;LIBS;LABELS;ENVIRONMENT")
  set(target test.${name})
  add_executable(${target} ${test_SOURCES})
  target_compile_definitions(${target} PRIVATE _GNU_SOURCE)
  # A test's own assert() counts in every build type.
  target_compile_options(${target} PRIVATE -UNDEBUG)
  set_target_properties(${target} PROPERTIES
    OUTPUT_NAME ${name} RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests/bin)

  if(test_PUBLIC)
    target_link_libraries(${target} PRIVATE databuffer)
  else()
    set(below core store port base)
    list(FIND below "${test_FLOOR}" at)
    if(at EQUAL -1)
      message(FATAL_ERROR "databuffer_test(${name}): say PUBLIC, or FLOOR and one of base, port, store, core")
    endif()
    list(SUBLIST below ${at} -1 below)
    databuffer_sees(${target} ${below})
    foreach(floor IN LISTS below)
      target_link_libraries(${target} PRIVATE databuffer_${floor}_archive)
    endforeach()
    if(DATABUFFER_DEBUG)
      target_compile_definitions(${target} PRIVATE DATABUFFER_DEBUG=1)
    endif()
    if(DATABUFFER_STEPS)
      target_compile_definitions(${target} PRIVATE DATABUFFER_STEPS=1)
    endif()
  endif()
  # Last, so that a floor's header comes before one of its tests'.
  target_include_directories(${target} PRIVATE ${PROJECT_SOURCE_DIR}/tests)
  target_link_libraries(${target} PRIVATE PkgConfig::cmocka Threads::Threads m ${test_LIBS})

  set(serial "")
  if(test_SERIAL)
    set(serial SERIAL)
  endif()
  databuffer_add_test(${name} COMMAND ${target} ${serial} TIMEOUT ${test_TIMEOUT}
    LABELS ${test_LABELS} ENVIRONMENT ${test_ENVIRONMENT})
endfunction()

function(databuffer_not_under sanitizer name reason)
  if(DATABUFFER_SANITIZE STREQUAL sanitizer)
    set_tests_properties(${name} PROPERTIES DISABLED TRUE)
    if(TEST ${name}.fence)
      set_tests_properties(${name}.fence PROPERTIES DISABLED TRUE)
    endif()
    message(STATUS "Not tested under the ${sanitizer} sanitizer: ${name} (${reason})")
  endif()
endfunction()
