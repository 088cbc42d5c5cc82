# What is installed, and how others find it: find_package(databuffer), or pkg-config databuffer.
include(CMakePackageConfigHelpers)

set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/databuffer)

install(TARGETS databuffer databuffer_static EXPORT databufferTargets)
install(EXPORT databufferTargets NAMESPACE databuffer:: DESTINATION ${package_dir})
install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/ DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN "*.h")
if(TARGET databuffer_command)
  install(TARGETS databuffer_command)
endif()

file(GLOB pages CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/man/*.[1-9])
foreach(page IN LISTS pages)
  string(REGEX MATCH "[1-9]$" section ${page})
  install(FILES ${page} DESTINATION ${CMAKE_INSTALL_MANDIR}/man${section})
endforeach()

configure_package_config_file(${PROJECT_SOURCE_DIR}/cmake/databufferConfig.cmake.in
  ${PROJECT_BINARY_DIR}/databufferConfig.cmake INSTALL_DESTINATION ${package_dir})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/databufferConfigVersion.cmake
  COMPATIBILITY SameMinorVersion)
install(FILES
  ${PROJECT_BINARY_DIR}/databufferConfig.cmake ${PROJECT_BINARY_DIR}/databufferConfigVersion.cmake
  DESTINATION ${package_dir})

# From the .pc file's own place, so that the prefix may be chosen, or moved, after the build.
if(IS_ABSOLUTE "${CMAKE_INSTALL_LIBDIR}")
  set(pc_prefix ${CMAKE_INSTALL_PREFIX})
else()
  file(RELATIVE_PATH up /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
  string(REGEX REPLACE "/$" "" up "${up}")
  set(pc_prefix "\${pcfiledir}/${up}")
endif()
cmake_path(APPEND pc_includedir "\${prefix}" ${CMAKE_INSTALL_INCLUDEDIR})
cmake_path(APPEND pc_libdir "\${prefix}" ${CMAKE_INSTALL_LIBDIR})
configure_file(cmake/databuffer.pc.in databuffer.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/databuffer.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
