// What the inference benchmark needs besides the load generator. Prints "name value" lines.
//
//   bare-loop corpus --to PORT --model NAME --rerank NAME --out FOLDER --texts N FILE...
//       Cuts the files' words into texts of mixed length, always the same ones, has the proxy count their tokens, and writes the
//       request bodies for the load generator and the token ids for the loop.
//   bare-loop loop   --graph FILE --ids FILE [OPTIONS]    computes all ids in perfectly packed batches, once
//   bare-loop single --graph FILE --ids FILE [OPTIONS]    the first line of ids alone, again and again
//       OPTIONS  --threads N  --budget TOKENS  --callers N  --spin 0|1  --arena 0|1  --times N  --count N
//   bare-loop graft  --model FOLDER --out FOLDER
//       Puts a head of one number on an embedding model: a cross-encoder of real size and work, whose scores mean nothing.
using BareLoop;

var given = new Arguments(args.Skip(1));
switch (args.FirstOrDefault())
{
    case "corpus":
        await Corpus.WriteAsync(given.Number("to", 0), given.Text("model"), given.Text("rerank"), given.Text("out"), given.Number("texts", 400), given.Rest);
        return 0;
    case "loop":
        Loop.Run(given);
        return 0;
    case "single":
        Loop.Single(given);
        return 0;
    case "graft":
        Graft.Write(given.Text("model"), given.Text("out"));
        return 0;
    default:
        Console.Error.WriteLine("bare-loop: corpus, loop, single or graft");
        return 2;
}
