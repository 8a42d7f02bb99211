package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/mod/module"
	"golang.org/x/mod/sumdb/dirhash"
	"golang.org/x/mod/zip"
)

// stage is where a rehearsal takes place: the tree at top, what is made of it
// in dir.
type stage struct {
	top, dir string
	env      []string
}

// modulePath is the path of the module in dir, relative to the tree.
func modulePath(dir string) string { return path.Join(root, dir) }

// source is where a module's sources are unpacked.
func (s *stage) source(dir string) string {
	if dir == "." {
		return filepath.Join(s.dir, "src", "root")
	}
	return filepath.Join(s.dir, "src", path.Base(dir))
}

// pack fills the proxy and unpacks each module beside it.
func (s *stage) pack(dirs []string) error {
	for _, old := range []string{
		filepath.Join(s.dir, "proxy"),
		filepath.Join(s.dir, "src"),
		filepath.Join(s.dir, "mod", filepath.FromSlash(path.Dir(root))),
		filepath.Join(s.dir, "mod", "cache", "download", filepath.FromSlash(path.Dir(root))),
	} {
		if err := os.RemoveAll(old); err != nil {
			return err
		}
	}
	tracked, err := s.tracked()
	if err != nil {
		return err
	}
	var sums bytes.Buffer
	for _, dir := range dirs {
		if err := s.packModule(dir, tracked, &sums); err != nil {
			return fmt.Errorf("packing %s: %w", modulePath(dir), err)
		}
	}
	// Each module's go.sum lacks only what nobody could know before the
	// release: the sums of the modules released with it.
	for _, dir := range dirs {
		if err := appendFile(filepath.Join(s.source(dir), "go.sum"), sums.Bytes()); err != nil {
			return err
		}
	}
	return s.lowest(dirs)
}

// lowest writes lowest.mod beside the go.mod of the unpacked integration: a
// module of the same packages that asks for nothing but the root and the adapters,
// so that those of its tests that need no more run with the lowest versions that we require.
func (s *stage) lowest(dirs []string) error {
	var mod strings.Builder
	fmt.Fprintf(&mod, "module %s\n\ngo 1.25.0\n\nrequire (\n", modulePath("integration"))
	for _, dir := range dirs {
		if dir == "." || strings.HasPrefix(dir, "backend/") {
			fmt.Fprintf(&mod, "\t%s %s\n", modulePath(dir), version)
		}
	}
	mod.WriteString(")\n")
	source := s.source("integration")
	sums, err := os.ReadFile(filepath.Join(source, "go.sum"))
	if err != nil {
		return err
	}
	return errors.Join(
		os.WriteFile(filepath.Join(source, "lowest.mod"), []byte(mod.String()), 0o666),
		os.WriteFile(filepath.Join(source, "lowest.sum"), sums, 0o666),
	)
}

// tracked lists the files that git tracks and that still exist.
func (s *stage) tracked() ([]string, error) {
	cmd := exec.Command("git", "ls-files", "-z")
	cmd.Dir = s.top
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("git ls-files: %w", err)
	}
	var files []string
	for name := range strings.SplitSeq(strings.TrimSuffix(string(out), "\x00"), "\x00") {
		if _, err := os.Lstat(filepath.Join(s.top, name)); err == nil {
			files = append(files, name)
		} else if !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	return files, nil
}

// packModule writes the proxy's files for one module, unpacks it, and adds
// its go.sum lines to sums.
func (s *stage) packModule(dir string, tracked []string, sums io.Writer) error {
	mod := module.Version{Path: modulePath(dir), Version: version}
	gomod, err := os.ReadFile(filepath.Join(s.top, dir, "go.mod"))
	if err != nil {
		return err
	}
	if bytes.Contains(gomod, []byte("\nreplace")) {
		return errors.New("go.mod has a replace directive: nobody could run its programs by version")
	}
	// zip leaves out by itself what belongs to a module nested in this one.
	var files []zip.File
	licensed := false
	for _, name := range tracked {
		rel, ok := strings.CutPrefix(name, dir+"/")
		if dir == "." {
			rel, ok = name, true
		}
		if ok {
			files = append(files, file{rel, filepath.Join(s.top, name)})
			licensed = licensed || rel == "LICENSE"
		}
	}
	if len(files) == 0 {
		return errors.New("git tracks no file of it")
	}
	if !licensed { // As the go command does for a module below the repository's root.
		files = append(files, file{"LICENSE", filepath.Join(s.top, "LICENSE")})
	}

	at := filepath.Join(s.dir, "proxy", filepath.FromSlash(mod.Path), "@v")
	if err := os.MkdirAll(at, 0o777); err != nil {
		return err
	}
	archive := filepath.Join(at, version+".zip")
	out, err := os.Create(archive)
	if err != nil {
		return err
	}
	if err := errors.Join(zip.Create(out, mod, files), out.Close()); err != nil {
		return err
	}
	info, err := json.Marshal(struct {
		Version string
		Time    time.Time
	}{version, time.Now().UTC().Truncate(time.Second)})
	if err != nil {
		return err
	}
	for name, content := range map[string][]byte{version + ".info": info, version + ".mod": gomod, "list": []byte(version + "\n")} {
		if err := os.WriteFile(filepath.Join(at, name), content, 0o666); err != nil {
			return err
		}
	}

	h1, err := dirhash.HashZip(archive, dirhash.Hash1)
	if err != nil {
		return err
	}
	h1mod, err := dirhash.Hash1([]string{"go.mod"}, func(string) (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(gomod)), nil
	})
	if err != nil {
		return err
	}
	fmt.Fprintf(sums, "%s %s %s\n%[1]s %[2]s/go.mod %[4]s\n", mod.Path, mod.Version, h1, h1mod)
	return zip.Unzip(s.source(dir), mod, archive)
}

func appendFile(name string, content []byte) error {
	f, err := os.OpenFile(name, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o666)
	if errors.Is(err, fs.ErrPermission) { // Unpacked files are read-only.
		if err = os.Chmod(name, 0o666); err == nil {
			f, err = os.OpenFile(name, os.O_APPEND|os.O_WRONLY, 0)
		}
	}
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	return errors.Join(err, f.Close())
}

// file is a tracked file under the name it has in its module.
type file struct{ name, at string }

func (f file) Path() string                 { return f.name }
func (f file) Lstat() (os.FileInfo, error)  { return os.Lstat(f.at) }
func (f file) Open() (io.ReadCloser, error) { return os.Open(f.at) }
