// The exit record: a file that says how the process ended.
#pragma once
#include <stddef.h>
#include <sys/types.h>

struct exit_record {
  int folder;  // where it goes
  int file;    // prepared but without a name yet; -1: none
  mode_t mode;
  char name[256];
};

void exit_record_write(struct exit_record *record, const char *text, size_t size);
