/** Event-driven reading of lines from sockets and FIFOs. `node:net` is loaded on use: short commands never need it. */
import type { Socket } from "node:net";
import type { LineChannel, LineEvents } from "../sys.ts";

const net = () => process.getBuiltinModule("node:net");

/** See {@link Sys.connectLines}. */
export function connectLines(
  path: string,
  events: LineEvents,
  maxLine: number,
): Promise<LineChannel | undefined> {
  return new Promise((resolve) => {
    const socket = net().connect(path);
    const failed = () => resolve(undefined);
    socket.once("error", failed);
    socket.once("connect", () => {
      socket.off("error", failed);
      resolve(channelOf(socket, events, maxLine));
    });
  });
}

/** See {@link Sys.readLines}. */
export function readLines(fd: number, events: LineEvents, maxLine: number): LineChannel {
  const { Socket } = net();
  return channelOf(new Socket({ fd, readable: true, writable: false }), events, maxLine);
}

function channelOf(socket: Socket, events: LineEvents, maxLine: number): LineChannel {
  socket.unref();
  socket.setEncoding("utf8");
  const split = lineSplitter(maxLine, (line) => events.onLine(line));
  socket.on("data", split);
  socket.on("error", () => socket.destroy());
  socket.on("close", () => events.onClose?.());
  return {
    get closed() {
      return socket.destroyed;
    },
    send(line) {
      socket.write(`${line}\n`);
    },
    close() {
      socket.destroy();
    },
  };
}

/** Splits text into lines wherever it breaks; a line is cut off at `maxLine` characters. */
export function lineSplitter(maxLine: number, onLine: (line: string) => void): (text: string) => void {
  let rest = "";
  return (text) => {
    const lines = (rest + text).split("\n");
    rest = (lines.pop() ?? "").slice(0, maxLine);
    for (const line of lines) onLine(line.slice(0, maxLine));
  };
}
