/** The Doctor service on the wire. */
import { isAbsolute } from "node:path";
import { doctor } from "@berth/api";
import { BerthError } from "@berth/base";
import { type Service, service } from "@berth/rpc";
import { examine } from "../../work/doctor/examine.ts";
import { type Instance, TEMPORARY } from "../../work/doctor/finding.ts";

/** Serves examinations of the daemon's directories; one at a time. */
export function doctorService(instance: Omit<Instance, "temporary">): Service {
  let last: Promise<unknown> = Promise.resolve();
  return service(doctor.Doctor, {
    examine: ({ fix, temporaryFolders }) => {
      const relative = temporaryFolders.find((folder) => !isAbsolute(folder));
      if (relative !== undefined)
        throw new BerthError(
          "invalid_argument",
          `temporary_folders: found ${JSON.stringify(relative)}, expected absolute paths: invalid argument`,
        );
      const work = () => examine({ ...instance, temporary: [...TEMPORARY, ...temporaryFolders] }, fix);
      const done = last.then(work, work);
      last = done.catch(() => {});
      return done;
    },
  });
}
