# How every C file of the tree is compiled: the language, the warnings, the sanitizers.
#
# Set on the directory and not on a target, so that no file can be forgotten.
set(CMAKE_C_STANDARD 11)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS ON)
set(CMAKE_C_VISIBILITY_PRESET hidden)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)

if(PROJECT_IS_TOP_LEVEL)
  set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
  # A new compiler's new warning stops us, but nobody who only embeds or installs the library.
  if(NOT DEFINED CMAKE_COMPILE_WARNING_AS_ERROR)
    set(CMAKE_COMPILE_WARNING_AS_ERROR ON)
  endif()
  get_property(multi_config GLOBAL PROPERTY GENERATOR_IS_MULTI_CONFIG)
  if(NOT CMAKE_BUILD_TYPE AND NOT multi_config)
    set_property(CACHE CMAKE_BUILD_TYPE PROPERTY VALUE RelWithDebInfo)
  endif()
endif()

# -Wcast-qual is left out: struct iovec, argp and sqlite3 take plain pointers to what they only read.
# -Wshadow is for C: in C++ it minds that databuffer_stats is a struct and a function.
add_compile_options(-Wall -Wextra -Wvla -Wpointer-arith -Wundef
  "$<$<COMPILE_LANGUAGE:C>:-Wshadow;-Wstrict-prototypes;-Wmissing-prototypes>")

if(DATABUFFER_SANITIZE STREQUAL "address")
  set(databuffer_sanitize_flags -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer)
elseif(DATABUFFER_SANITIZE STREQUAL "thread")
  set(databuffer_sanitize_flags -fsanitize=thread -fno-omit-frame-pointer)
  if(CMAKE_C_COMPILER_ID STREQUAL "GNU")
    # gcc warns of each fence that its sanitizer does not model them. The fences stay: with them the sanitizer sees
    # fewer orderings than there are, never more, so it errs towards false alarms.
    add_compile_options(-Wno-tsan)
  endif()
elseif(NOT DATABUFFER_SANITIZE STREQUAL "")
  message(FATAL_ERROR "DATABUFFER_SANITIZE is \"${DATABUFFER_SANITIZE}\"; it may be empty, address or thread")
endif()
if(DATABUFFER_FUZZ)
  if(NOT CMAKE_C_COMPILER_ID STREQUAL "Clang")
    message(FATAL_ERROR "DATABUFFER_FUZZ takes clang, and the C compiler is ${CMAKE_C_COMPILER}")
  endif()
  add_compile_options(-fsanitize=fuzzer-no-link)
endif()
add_compile_options(${databuffer_sanitize_flags})
add_link_options(${databuffer_sanitize_flags})
