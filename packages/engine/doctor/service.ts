/** The Doctor service on the wire. */
import { tmpdir } from "node:os";
import { isAbsolute } from "node:path";
import { doctor } from "@berth/api";
import { BerthError } from "@berth/base";
import { type Service, service } from "@berth/grpc";
import { examine } from "./examine.ts";
import type { Place } from "./finding.ts";

/** Folders in which this process' clients make FIFOs unless told otherwise. */
export const TEMPORARY = [...new Set(["/tmp", tmpdir()])];

/** Serves examinations of the daemon's own place; one at a time. */
export function doctorService(place: Omit<Place, "temporary">): Service {
  let last: Promise<unknown> = Promise.resolve();
  return service(doctor.Doctor, {
    examine: ({ fix, temporaryFolders }) => {
      const relative = temporaryFolders.find((folder) => !isAbsolute(folder));
      if (relative !== undefined)
        throw new BerthError(
          "invalid_argument",
          `temporary_folders: found ${JSON.stringify(relative)}, expected absolute paths: invalid argument`,
        );
      const work = () => examine({ ...place, temporary: [...TEMPORARY, ...temporaryFolders] }, fix);
      const done = last.then(work, work);
      last = done.catch(() => {});
      return done;
    },
  });
}
