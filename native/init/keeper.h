// The keeper: parent of one container process. It holds the process's streams, writes its log and records its exit, so that
// neither is lost while berthd is down. It ends with its process.
#pragma once
#include "clients.h"
#include "exit_record.h"
#include "oom.h"
#include "operations.h"
#include "relay.h"

struct keeper {
  struct exit_record exit;
  struct clients clients;
  struct log_file log;
  struct source sources[2];
  struct relay relay;
  struct oom_watch oom;
  int stdin_hold;  // writing end of the client's stdin FIFO: no end of file until CLOSE_STDIN
  int holds[2];    // reading ends of output FIFOs: a client that vanishes causes no SIGPIPE
};

// A keeper that holds nothing yet.
struct keeper *keeper_new(void);
// Relays and logs until st->child ends; returns its exit code.
int keeper_run(struct state *st, bool record);
