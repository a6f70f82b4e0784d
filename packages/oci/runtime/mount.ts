/** Mounts and id mappings of config.json. */

/** One mount; see mount(8) for options, and the specification for the runtime's own ("rro", "tmpcopyup", "idmap"). */
export interface Mount {
  /** Absolute path inside the container. */
  destination: string;
  /** File system type; "bind", "none" or absent for bind mounts (with the option "bind" or "rbind"). */
  type?: string;
  /** Device, host path (relative to the bundle unless absolute) or dummy name. */
  source?: string;
  options?: string[];
  /** Mappings of an id-mapped mount; both or none. */
  uidMappings?: IdMapping[];
  gidMappings?: IdMapping[];
}

/** A range of ids: `size` ids from `containerID` on are `hostID` and following outside. */
export interface IdMapping {
  containerID: number;
  hostID: number;
  size: number;
}
