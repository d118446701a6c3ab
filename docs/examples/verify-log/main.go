// Verify-log checks a log of evidence with nothing but its public key and its files: no line of the broker's own
// programs is in it. The signature is opened by golang.org/x/mod/sumdb/note and the tree is proven by
// golang.org/x/mod/sumdb/tlog, which verify Go's own checksum database.
//
// Usage:
//
//	verify-log -vkey KEY [-evidence FILE] [-log DIR [-index N] [-older CHECKPOINT]]
//
// -evidence is an evidence file: its entry is checked with the proof in it, which needs nothing but the key. -log is the
// directory of the log's files: the entry of -evidence, or else the one at -index (default: the last), is looked for
// there and proven anew from the tiles; and -older, a checkpoint that somebody kept, must be the log's beginning.
// Exit code 0: all of it holds.
package main

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// Tiles are 256 hashes wide.
const height = 8

// A directory of static files (C2SP tlog-tiles). It is handed to tlog as its reader of tiles.
type directory string

func (d directory) Height() int { return height }

// ReadTiles reads tiles of hashes; what they hold is compared with the root by tlog before it is used.
func (d directory) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	data := make([][]byte, len(tiles))
	for i, tile := range tiles {
		content, err := d.read(path(tile), tile.W, tlog.HashSize)
		if err != nil {
			return nil, err
		}
		data[i] = content
	}
	return data, nil
}

// SaveTiles has nothing to do: no tile is cached.
func (d directory) SaveTiles([]tlog.Tile, [][]byte) {}

// read returns the first width items of a tile; where it has become full since, of the full one.
func (d directory) read(name string, width, size int) ([]byte, error) {
	content, err := os.ReadFile(filepath.Join(string(d), name))
	if errors.Is(err, os.ErrNotExist) {
		full, _, _ := strings.Cut(name, ".p/")
		content, err = os.ReadFile(filepath.Join(string(d), full))
	}
	if err != nil {
		return nil, err
	}
	if size > 0 {
		if len(content) < width*size {
			return nil, fmt.Errorf("%s ends too early", name)
		}
		content = content[:width*size]
	}
	return content, nil
}

// path returns the name of a tile: tlog says tile/8/..., the height is not named in C2SP tlog-tiles.
func path(tile tlog.Tile) string {
	name := strings.TrimPrefix(tile.Path(), fmt.Sprintf("tile/%d/", tile.H))
	return "tile/" + strings.Replace(name, "data/", "entries/", 1)
}

// entries returns the entries of a bundle: each with its length before it, 16 bits, big-endian.
func (d directory) entries(bundle, treeSize int64) ([][]byte, error) {
	width := int(min(treeSize-bundle<<height, 1<<height))
	content, err := d.read(path(tlog.Tile{H: height, L: -1, N: bundle, W: width}), width, 0)
	if err != nil {
		return nil, err
	}
	var found [][]byte
	for len(found) < width {
		if len(content) < 2 || len(content) < 2+int(binary.BigEndian.Uint16(content)) {
			return nil, errors.New("a bundle of entries ends too early")
		}
		end := 2 + int(binary.BigEndian.Uint16(content))
		found = append(found, content[2:end])
		content = content[end:]
	}
	return found, nil
}

// find returns the index of an entry with these bytes.
func (d directory) find(entry []byte, treeSize int64) (int64, error) {
	for bundle := int64(0); bundle<<height < treeSize; bundle++ {
		entries, err := d.entries(bundle, treeSize)
		if err != nil {
			return 0, err
		}
		for at, one := range entries {
			if bytes.Equal(one, entry) {
				return bundle<<height + int64(at), nil
			}
		}
	}
	return 0, errors.New("no entry of the log has these bytes")
}

// open returns the tree of a checkpoint that the key has signed.
func open(content []byte, verifier note.Verifier) (tlog.Tree, error) {
	opened, err := note.Open(content, note.VerifierList(verifier))
	if err != nil {
		return tlog.Tree{}, err
	}
	// Go's database has another first line than other logs, and the same two after it.
	origin, rest, _ := strings.Cut(opened.Text, "\n")
	if origin != verifier.Name() {
		return tlog.Tree{}, fmt.Errorf("it is another log's: %s", origin)
	}
	return tlog.ParseTree([]byte("go.sum database tree\n" + rest))
}

// openFile does the same with a file.
func openFile(file string, verifier note.Verifier) (tlog.Tree, error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return tlog.Tree{}, err
	}
	tree, err := open(content, verifier)
	if err != nil {
		return tlog.Tree{}, fmt.Errorf("%s: %w", file, err)
	}
	return tree, nil
}

// evidence returns entry and proof file of an evidence file.
func evidence(file string) (entry []byte, proof string, err error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return nil, "", err
	}
	var told struct {
		Entry       *string
		EntryBase64 []byte `json:"entry_base64"`
		Proof       string
	}
	if err := json.Unmarshal(content, &told); err != nil {
		return nil, "", fmt.Errorf("%s: %w", file, err)
	}
	if told.Entry != nil {
		return []byte(*told.Entry), told.Proof, nil
	}
	return told.EntryBase64, told.Proof, nil
}

// checkProof checks an entry with a proof file alone (C2SP tlog-proof).
func checkProof(entry []byte, proof string, verifier note.Verifier) error {
	head, checkpoint, found := strings.Cut(proof, "\n\n")
	lines := strings.Split(head, "\n")
	if !found || lines[0] != "c2sp.org/tlog-proof@v1" {
		return errors.New("that is no proof file")
	}
	lines = lines[1:]
	if len(lines) > 0 && strings.HasPrefix(lines[0], "extra ") {
		lines = lines[1:]
	}
	if len(lines) == 0 || !strings.HasPrefix(lines[0], "index ") {
		return errors.New("the proof tells no index")
	}
	index, err := strconv.ParseInt(strings.TrimPrefix(lines[0], "index "), 10, 64)
	if err != nil {
		return err
	}
	var hashes tlog.RecordProof
	for _, line := range lines[1:] {
		content, err := base64.StdEncoding.DecodeString(line)
		if err != nil || len(content) != tlog.HashSize {
			return errors.New("the proof holds what is no hash")
		}
		hashes = append(hashes, tlog.Hash(content))
	}
	tree, err := open([]byte(checkpoint), verifier)
	if err != nil {
		return err
	}
	if index < 0 || index >= tree.N {
		return fmt.Errorf("there is no entry %d of %d", index, tree.N)
	}
	if err := tlog.CheckRecord(hashes, tree.N, tree.Hash, index, tlog.RecordHash(entry)); err != nil {
		return fmt.Errorf("entry %d: %w", index, err)
	}
	fmt.Printf("by its proof: entry %d of the %d of %s\n", index, tree.N, verifier.Name())
	return nil
}

// checkLog looks for an entry in a log, proves it from the tiles, and the log's beginning too.
func checkLog(log directory, verifier note.Verifier, entry []byte, index int64, older string) error {
	tree, err := openFile(filepath.Join(string(log), "checkpoint"), verifier)
	if err != nil {
		return err
	}
	fmt.Printf("%s: %d entries, root %s\n", verifier.Name(), tree.N, tree.Hash)
	hashes := tlog.TileHashReader(tree, log)
	if entry != nil {
		if index, err = log.find(entry, tree.N); err != nil {
			return err
		}
	} else if index < 0 {
		index = tree.N - 1
	}
	if index < 0 || index >= tree.N {
		return fmt.Errorf("there is no entry %d of %d", index, tree.N)
	}
	if entry == nil {
		entries, err := log.entries(index>>height, tree.N)
		if err != nil {
			return err
		}
		entry = entries[index&(1<<height-1)]
	}
	proof, err := tlog.ProveRecord(tree.N, index, hashes)
	if err != nil {
		return err
	}
	if err := tlog.CheckRecord(proof, tree.N, tree.Hash, index, tlog.RecordHash(entry)); err != nil {
		return fmt.Errorf("entry %d: %w", index, err)
	}
	fmt.Printf("by its tiles: entry %d, with %d hashes: %s\n", index, len(proof), entry)
	if older == "" {
		return nil
	}
	before, err := openFile(older, verifier)
	if err != nil {
		return err
	}
	if before.N == 0 || before.N > tree.N {
		return fmt.Errorf("a tree of %d entries is not the beginning of one of %d", before.N, tree.N)
	}
	beginning, err := tlog.ProveTree(tree.N, before.N, hashes)
	if err != nil {
		return err
	}
	if err := tlog.CheckTree(beginning, tree.N, tree.Hash, before.N, before.Hash); err != nil {
		return fmt.Errorf("%s: %w", older, err)
	}
	fmt.Printf("it begins with the %d entries of %s, by %d hashes\n", before.N, older, len(beginning))
	return nil
}

func verify(log, vkey, file, older string, index int64) error {
	if !strings.Contains(vkey, "+") {
		content, err := os.ReadFile(vkey)
		if err != nil {
			return err
		}
		vkey = strings.TrimSpace(string(content))
	}
	verifier, err := note.NewVerifier(vkey)
	if err != nil {
		return err
	}
	var entry []byte
	if file != "" {
		var proof string
		if entry, proof, err = evidence(file); err != nil {
			return err
		}
		if err := checkProof(entry, proof, verifier); err != nil {
			return err
		}
	}
	if log == "" {
		return nil
	}
	return checkLog(directory(log), verifier, entry, index, older)
}

func main() {
	vkey := flag.String("vkey", "", "the log's verifier key, or a file that holds it")
	file := flag.String("evidence", "", "an evidence file")
	log := flag.String("log", "", "directory of the log's files")
	index := flag.Int64("index", -1, "index of the entry to look at; default: the last")
	older := flag.String("older", "", "a checkpoint that somebody kept")
	flag.Parse()
	if *vkey == "" || *file+*log == "" || flag.NArg() > 0 {
		flag.Usage()
		os.Exit(2)
	}
	if err := verify(*log, *vkey, *file, *older, *index); err != nil {
		fmt.Fprintln(os.Stderr, "does NOT hold:", err)
		os.Exit(1)
	}
	fmt.Println("all of it holds")
}
