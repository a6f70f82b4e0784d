# berth: `make run` shows it at work, `make test` tests all of it. Both install what they need.
PREFIX ?= /usr/local
DESTDIR ?=

run: build
	@scripts/demo.sh

test:
	@scripts/setup.sh test
	@scripts/build.sh
	@node_modules/.bin/node scripts/test.ts

build:
	@scripts/setup.sh build
	@scripts/build.sh

# Types, form, structure, C and shell: seconds, without building a program.
check:
	@scripts/setup.sh check
	@scripts/generate-api.sh
	@node_modules/.bin/tsc -p .
	@node_modules/.bin/biome check .
	@node_modules/.bin/node scripts/check/main.ts
	@node_modules/.bin/node scripts/check/readmes.ts
	@node_modules/.bin/tsc -p build/readmes
	@$(MAKE) -s -C native check
	@shellcheck scripts/*.sh packaging/*.sh .ci/run

# berthd from its sources, restarted when one changes.
dev: build
	@scripts/dev.sh

# TOPICS chooses from what bench/run.ts names; docs/performance.md.
bench:
	@scripts/setup.sh test
	@scripts/build.sh
	@node_modules/.bin/node bench/run.ts $(TOPICS)

# COUNT containers, eight in flight: no error, no leak, no growth.
soak:
	@scripts/setup.sh test
	@scripts/build.sh
	@node_modules/.bin/node bench/soak.ts $(COUNT)

# MINUTES of random commands by five clients, with a daemon that is killed and a disk that fills; SEED repeats them.
chaos:
	@scripts/setup.sh test
	@scripts/build.sh
	@node_modules/.bin/node test/chaos/chaos.ts $(MINUTES) $(SEED)

install: build
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/lib/berth $(DESTDIR)$(PREFIX)/lib/systemd/system $(DESTDIR)$(PREFIX)/share/doc/berth
	install -m 755 bin/berth bin/berthd $(DESTDIR)$(PREFIX)/bin/
	ln -sf berth $(DESTDIR)$(PREFIX)/bin/berth-runc
	ln -sf berth $(DESTDIR)$(PREFIX)/bin/containerd-shim-berth-v1
	install -m 755 lib/berth/node lib/berth/berth-init $(DESTDIR)$(PREFIX)/lib/berth/
	install -m 644 lib/berth/berth-sys.node lib/berth/berthd.mjs lib/berth/worker.ts lib/berth/trace-exporter.ts $(DESTDIR)$(PREFIX)/lib/berth/
	cp -R lib/berth/cache $(DESTDIR)$(PREFIX)/lib/berth/
	ln -sf ../lib/berth/berth-init $(DESTDIR)$(PREFIX)/bin/berth-init
	sed 's|@PREFIX@|$(PREFIX)|g' packaging/berthd.service > $(DESTDIR)$(PREFIX)/lib/systemd/system/berthd.service
	install -m 644 README.md LICENSE $(DESTDIR)$(PREFIX)/share/doc/berth/

clean:
	rm -rf bin lib build packages/api/gen

.PHONY: run test build check dev bench soak chaos install clean
