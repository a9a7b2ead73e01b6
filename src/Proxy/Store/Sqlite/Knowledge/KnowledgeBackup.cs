using Proxy.Knowledge;

namespace Proxy.Store.Sqlite.Knowledge;

/// <summary>Copies the database and its vector files while they are used.</summary>
internal static class KnowledgeBackup
{
    /// <param name="file">The database.</param>
    /// <param name="vectors">Its vector files, which a hold protects.</param>
    /// <param name="folder">Where to, an empty folder. It can be used in the place of the store's folder.</param>
    /// <param name="cancellation">Ends the copy.</param>
    public static void Copy(string file, VectorFiles vectors, string folder, CancellationToken cancellation)
    {
        var copy = KnowledgeDatabase.FileIn(folder);
        Make(copy).Dispose(); // SQLite gives a new file to everyone who may read, and fills an empty one
        using (var source = new SqliteConnection(file)) source.Prepare("vacuum into ?").Bind(copy).Run();

        var sets = new List<(string Workspace, string Set)>();
        using (var made = new SqliteConnection(copy))
        {
            made.Execute("delete from holds");
            var rows = made.Prepare("select w.id, s.id from vector_sets s join workspaces w on w.number = s.ws");
            while (rows.Step()) sets.Add((rows.Text(0), rows.Text(1)));
        }

        var into = new VectorFiles(folder);
        if (sets.Count > 0) Directory.CreateDirectory(into.Folder, SqliteDatabase.OwnFolder);
        foreach (var (workspace, set) in sets)
        {
            cancellation.ThrowIfCancellationRequested();
            if (!File.Exists(vectors.PathOf(workspace, set))) continue; // a set without vectors has no file
            using var from = File.Open(vectors.PathOf(workspace, set), FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete);
            using var to = Make(into.PathOf(workspace, set));
            from.CopyTo(to, 1 << 20);
            to.Flush(flushToDisk: true);
        }
    }

    private static FileStream Make(string path) =>
        File.Open(path, new FileStreamOptions { Mode = FileMode.CreateNew, Access = FileAccess.Write, UnixCreateMode = SqliteDatabase.OwnFile });
}
