using Proxy.Chat;
using Proxy.Knowledge;
using Proxy.Knowledge.Ingest;

namespace Proxy.Http.Knowledge;

/// <summary>A file that a request puts into a workspace, and how.</summary>
/// <param name="Id">The file's id.</param>
/// <param name="Param">The member that names it.</param>
/// <param name="How">Attributes, and how it is cut.</param>
internal sealed record NewFile(string Id, string Param, NewAttachment How)
{
    private const int LongestId = 256;

    /// <summary>Reads <c>file_id</c> with <c>attributes</c> and <c>chunking_strategy</c>.</summary>
    public static NewFile? Read(JsonForm form, string place = "")
    {
        if (!form.Has("file_id")) form.Refuse("file_id", "is missing");
        var how = HowOf(form);
        return form.Text("file_id", LongestId) is { } id ? new(id, place + "file_id", how) : null;
    }

    /// <summary>
    /// Reads <c>file_ids</c>, to all of which the request's <c>attributes</c> and <c>chunking_strategy</c> apply, or <c>files</c>, each of which has its own. A
    /// file that is named twice is taken once.
    /// </summary>
    public static IReadOnlyList<NewFile> ReadAll(JsonForm form, int most)
    {
        var ids = form.Texts("file_ids", most, LongestId);
        var files = form.Objects("files", most);
        if (ids is not null && files is not null) form.Refuse("files", "and file_ids exclude each other; send one of them");
        var all = new Dictionary<string, NewFile>();
        var how = HowOf(form);
        for (var i = 0; i < ids?.Count; i++) all[ids[i]] = new(ids[i], $"file_ids[{i}]", how);
        for (var i = 0; i < files?.Count; i++)
        {
            if (Read(files[i], $"files[{i}].") is { } file) all[file.Id] = file;
        }

        return [.. all.Values];
    }

    /// <summary>The caller's files of these ids, or the error of the first that it does not have.</summary>
    public static async ValueTask<(IReadOnlyList<(KnowledgeFile File, NewAttachment How)> Found, ProxyError? Problem)> FindAsync(
        KnowledgeCall call, IReadOnlyList<NewFile> wanted)
    {
        var found = new List<(KnowledgeFile, NewAttachment)>(wanted.Count);
        foreach (var (id, param, how) in wanted)
        {
            var (file, problem) = await call.FileAsync(id, param);
            if (file is null) return ([], problem);
            found.Add((file, how));
        }

        return (found, null);
    }

    /// <summary>Puts the file into the workspace. A length that its models cannot read is cut to what they can.</summary>
    public static ValueTask<WorkspaceFile> AttachAsync(KnowledgeCall call, Workspace workspace, KnowledgeFile file, NewAttachment how)
    {
        if (how.ChunkTokens is not null)
        {
            var limits = ChunkRules.Of(call.Parts.Models, workspace, how.ChunkTokens, how.OverlapTokens);
            how = how with { ChunkTokens = limits.MaxTokens, OverlapTokens = limits.OverlapTokens };
        }

        return call.Access.AttachAsync(workspace, file, how, call.Cancellation);
    }

    private static NewAttachment HowOf(JsonForm form)
    {
        var how = new NewAttachment { Attributes = form.Map("attributes", isTexts: false) ?? "{}" };
        if (form.Object("chunking_strategy") is not { } strategy) return how;
        var type = strategy.Text("type", LongestId);
        if (type is "auto") return how;
        if (type is not "static")
        {
            strategy.Refuse("type", "must be \"auto\" or \"static\"");
            return how;
        }

        if (strategy.Object("static") is not { } cut)
        {
            strategy.Refuse("static", "is missing");
            return how;
        }

        if (!cut.Has("max_chunk_size_tokens")) cut.Refuse("max_chunk_size_tokens", "is missing");
        if (!cut.Has("chunk_overlap_tokens")) cut.Refuse("chunk_overlap_tokens", "is missing");
        var tokens = cut.Whole("max_chunk_size_tokens", ChunkRules.LeastStatic, ChunkRules.MostStatic);
        var overlap = cut.Whole("chunk_overlap_tokens", 0, int.MaxValue);
        if (overlap > tokens / 2) cut.Refuse("chunk_overlap_tokens", "is more than half of max_chunk_size_tokens");
        return how with { ChunkTokens = tokens, OverlapTokens = overlap };
    }
}
