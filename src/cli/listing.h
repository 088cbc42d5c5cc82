/* SPDX-License-Identifier: MIT */
/* listing.h: `databuffer sinks` and `databuffer options`. */
#ifndef DATABUFFER_CLI_LISTING_H
#define DATABUFFER_CLI_LISTING_H

int listing_sinks(int argc, char **argv);
int listing_options(int argc, char **argv);

#endif
