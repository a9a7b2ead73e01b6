using System.IO.Compression;

namespace Proxy.Documents.Formats;

/// <summary>
/// A document that is an archive of files (Office, EPUB). Nothing is written to the disk, so the names in the archive are only names. What is unpacked is
/// counted, not what the archive says of itself.
/// </summary>
internal sealed class PackageFile : IDisposable
{
    private readonly ZipArchive archive;
    private readonly ReadGuard guard;
    private readonly Dictionary<string, ZipArchiveEntry> entries = new(StringComparer.OrdinalIgnoreCase);
    private long unpacked;

    private PackageFile(ZipArchive archive, ReadGuard guard)
    {
        (this.archive, this.guard) = (archive, guard);
        if (archive.Entries.Count > DocumentLimits.ArchiveEntries)
            throw new DocumentException(DocumentFault.Invalid, $"the archive has more than {DocumentLimits.ArchiveEntries:N0} files");
        foreach (var entry in archive.Entries) entries.TryAdd(entry.FullName, entry);
    }

    public IEnumerable<string> Names => entries.Keys;

    public DocumentFormat Format =>
        Has("word/document.xml") ? DocumentFormat.Word
        : Has("ppt/presentation.xml") ? DocumentFormat.Slides
        : Has("xl/workbook.xml") ? DocumentFormat.Sheets
        : Has("META-INF/container.xml") ? DocumentFormat.Epub
        : DocumentFormat.Unknown;

    public static PackageFile Open(GuardedStream file, ReadGuard guard)
    {
        ZipArchive archive;
        try
        {
            archive = new(file, ZipArchiveMode.Read, leaveOpen: true);
        }
        catch (InvalidDataException damaged)
        {
            throw new DocumentException(
                DocumentFault.Invalid, "the file is damaged: its archive (ZIP) has no valid list of files; it may be cut short", damaged);
        }

        try
        {
            return new(archive, guard);
        }
        catch
        {
            archive.Dispose();
            throw;
        }
    }

    public bool Has(string name) => entries.ContainsKey(name);

    /// <summary>A file of the archive, unpacked while it is read; null if there is none of that name.</summary>
    public Stream? File(string name) =>
        entries.TryGetValue(name, out var entry) ? new UnpackedStream(entry.Open(), entry.CompressedLength, this, guard) : null;

    /// <summary>A reader of a file with XML; null if there is none of that name. A DTD is refused, so there are no entities to expand.</summary>
    public XmlPull? Xml(string name) => File(name) is { } file ? new(file, guard) : null;

    /// <summary>The title that an Office file states.</summary>
    public string? CoreTitle()
    {
        using var xml = Xml("docProps/core.xml");
        while (xml is not null && xml.Read())
        {
            if (xml.Part == XmlPart.Element && xml.Name == "title") return xml.Text().Trim() is { Length: > 0 } title ? title : null;
        }

        return null;
    }

    /// <summary>
    /// The files that a file of the archive refers to, by their ids. <c>xl/workbook.xml</c> has its list in <c>xl/_rels/workbook.xml.rels</c>.
    /// </summary>
    public Dictionary<string, Relation> Relations(string of)
    {
        var slash = of.LastIndexOf('/');
        var folder = of[..(slash + 1)];
        var relations = new Dictionary<string, Relation>(StringComparer.Ordinal);
        using var xml = Xml($"{folder}_rels/{of[(slash + 1)..]}.rels");
        while (xml is not null && xml.Read())
        {
            if (xml.Part != XmlPart.Element || xml.Name != "Relationship") continue;
            if (xml.Attribute("Id") is not { } id || xml.Attribute("Target") is not { } target) continue;
            var type = xml.Attribute("Type") ?? "";
            relations[id] = new(Path(folder, target), type[(type.LastIndexOf('/') + 1)..]);
        }

        return relations;
    }

    public void Dispose() => archive.Dispose();

    /// <summary>A path in the archive, from a folder that ends in / and a reference, which may begin with / or have "..".</summary>
    public static string Path(string folder, string reference)
    {
        var parts = new List<string>();
        var whole = reference.StartsWith('/') ? reference : folder + reference;
        foreach (var part in whole.Split('/'))
        {
            if (part == ".." && parts.Count > 0) parts.RemoveAt(parts.Count - 1);
            else if (part is not ("" or "." or "..")) parts.Add(part);
        }

        return string.Join('/', parts);
    }

    public static DocumentException Missing(string part) => new(DocumentFault.Invalid, $"the file is damaged: it has no {part}");

    private void Count(int bytes, long ofEntry, long packed)
    {
        unpacked += bytes;
        if (unpacked > DocumentLimits.UnpackedBytes)
            throw new DocumentException(DocumentFault.Invalid, $"the archive unpacks to more than {DocumentLimits.UnpackedBytes >> 20} MB");
        if (ofEntry > DocumentLimits.RatioFreeBytes && ofEntry / Math.Max(1, packed) > DocumentLimits.CompressionRatio)
            throw new DocumentException(
                DocumentFault.Invalid, $"the archive unpacks to more than {DocumentLimits.CompressionRatio} times its size, which no document does");
    }

    /// <param name="Name">Its path in the archive.</param>
    /// <param name="Type">What it is, for example "worksheet".</param>
    internal sealed record Relation(string Name, string Type);

    private sealed class UnpackedStream(Stream inner, long packed, PackageFile package, ReadGuard guard) : Stream
    {
        private long read;

        public override bool CanRead => true;

        public override bool CanSeek => false;

        public override bool CanWrite => false;

        public override long Length => throw new NotSupportedException();

        public override long Position
        {
            get => read;
            set => throw new NotSupportedException();
        }

        public override int Read(Span<byte> buffer)
        {
            guard.Step();
            var n = inner.Read(buffer);
            read += n;
            package.Count(n, read, packed);
            return n;
        }

        public override int Read(byte[] buffer, int offset, int count) => Read(buffer.AsSpan(offset, count));

        public override void Flush()
        {
        }

        public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

        public override void SetLength(long value) => throw new NotSupportedException();

        public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();

        protected override void Dispose(bool disposing)
        {
            if (disposing) inner.Dispose();
            base.Dispose(disposing);
        }
    }
}
